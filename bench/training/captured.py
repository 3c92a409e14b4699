"""A whole gradient step as one CUDA graph: forward, backward, clipping and the optimizer's step.

A small network's step is about a hundred kernels, and launching them one by one takes longer than
computing them. A graph launches all of them at once. Noise comes from generators that are registered
with the graph, and what changes between steps (indices, β, the learning rate) lies in tensors.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from bench.noise import Noise
from bench.training.adam import Adam
from bench.training.batches import Batch, Group
from bench.training.steps import EagerSteps, Step, Trained

# Steps that are taken one operation at a time before the capture: libraries set themselves up, and
# optimizers make their state.
EAGER_STEPS = 3


def why_not_captured(run: Trained) -> str:
    """Return why a run's steps are not captured; empty if they can be."""
    optimizer = run.torch_optimizer
    if not isinstance(optimizer, Adam):
        return f"{type(optimizer).__name__} reads its learning rate on the host"
    return ""


class CapturedSteps:
    """Takes the steps of groups of mini-batches as replays of one CUDA graph.

    The first steps are eager, and are steps of the training like any other. The capture itself
    computes nothing.

    Args:
        step: What is captured. Its runs are on a GPU.
        longest: Largest number of mini-batches in a group.
        note: Called with a line for the user if the step cannot be captured, and stays eager.
    """

    def __init__(self, step: Step, longest: int, note: Callable[[str], object]):
        self.step, self.eager, self.note = step, EagerSteps(step), note
        self.graph: torch.cuda.CUDAGraph | None = None
        self.has_failed = False
        runs, device = len(step.runs), step.runs[0].kl_weight.device
        # Of this run's own device: PyTorch's default stream for captures is of the first that was used.
        self.side = torch.cuda.Stream(device=device)
        # The position of the next step in its group; and of all steps.
        self.position = torch.zeros(1, dtype=torch.int64, device=device)
        self.positions = torch.arange(longest, device=device)[:, None]
        # Not numbers before a step has been taken, so that a graph that computes nothing is seen.
        self.elbos = torch.full((longest, runs), torch.nan, device=device)
        self.reconstructions = torch.full_like(self.elbos, torch.nan)
        self.rates = [torch.zeros((), device=device) for _ in step.runs]
        self.indices: Tensor | None = None

    def take(self, groups: Sequence[Group]) -> None:
        """Take a step for each mini-batch of the groups, one group for each run."""
        with rates_as_tensors(self.step.runs, self.rates):
            self._take(groups)

    def _take(self, groups: Sequence[Group]) -> None:
        # In one call, so that one thread does both: cuBLAS sets itself up for each thread.
        if self.graph is None and not self.has_failed and len(groups[0].indices) > EAGER_STEPS:
            with on_stream(self.side):
                self.eager.take([group.part(slice(EAGER_STEPS)) for group in groups])
            groups = [group.part(slice(EAGER_STEPS, None)) for group in groups]
            self.try_to_capture(groups)
        if self.graph is None:
            self.eager.take(groups)
        else:
            self.replay(groups)

    def try_to_capture(self, groups: Sequence[Group]) -> None:
        """Capture a step; where that fails, undo what a failed capture leaves behind, and stay eager."""
        noises = self.noises_of(groups)
        states = [noise.generator.get_state() for noise in noises]
        before = torch.cuda.current_stream(self.side.device)
        # The collector may free another graph, which CUDA does not allow during a capture.
        gc.collect()
        collects = gc.isenabled()
        gc.disable()
        try:
            self.capture(groups)
        except RuntimeError as error:
            self.has_failed = True
            reason = " ".join(str(error).split())[:200]
            self.note(f"steps are not captured as a CUDA graph: {reason}")
            # CUDA ends a failed capture by an error, after which PyTorch leaves its stream current
            # and its generators in the state of a capture.
            torch.cuda.set_stream(before)
            for noise, state in zip(noises, states):
                noise.renew(state)
            for run in self.step.runs:
                for parameter in run.parameters_to_move:
                    parameter.grad = None
        finally:
            if collects:
                gc.enable()

    def noises_of(self, groups: Sequence[Group]) -> list[Noise]:
        """Return the noise that a step draws from."""
        return [run.noise for run in self.step.runs] + [group.noise for group in groups]

    def capture(self, groups: Sequence[Group]) -> None:
        """Capture one step."""
        graph = torch.cuda.CUDAGraph()
        for noise in self.noises_of(groups):
            graph.register_generator_state(noise.generator)
        longest, batch = len(self.positions), groups[0].indices.shape[1]
        self.indices = groups[0].indices.new_zeros(longest, len(groups), batch)
        with torch.cuda.graph(graph, stream=self.side):
            rows = self.indices.index_select(0, self.position)[0]
            batches = [Batch(group.draw(row), row) for group, row in zip(groups, rows)]
            here = self.positions == self.position
            for kept, values in zip((self.elbos, self.reconstructions), self.step(batches)):
                kept.copy_(torch.where(here, values, kept))
            self.position += 1
        self.graph = graph

    def replay(self, groups: Sequence[Group]) -> None:
        """Replay the captured step for each mini-batch."""
        assert self.graph is not None and self.indices is not None
        number = len(groups[0].indices)
        for position, group in enumerate(groups):
            self.indices[:number, position].copy_(group.indices)
        self.position.zero_()
        self.elbos.fill_(torch.nan)
        for _ in range(number):
            self.graph.replay()
        for position, run in enumerate(self.step.runs):
            run.means.add_steps(
                self.elbos[:number, position].clone(),
                self.reconstructions[:number, position].clone(),
            )


@contextmanager
def on_stream(stream: torch.cuda.Stream) -> Iterator[None]:
    """Compute on another stream, after what was launched before and before what is launched later."""
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


@contextmanager
def rates_as_tensors(runs: Sequence[Trained], rates: Sequence[Tensor]) -> Iterator[None]:
    """Let optimizers read their learning rates from tensors, which replays can be given.

    Eager steps read them too, so that a resumed training has the bits of one that was not interrupted.
    """
    groups = [run.torch_optimizer.param_groups[0] for run in runs]
    before = [group["lr"] for group in groups]
    try:
        for group, rate, value in zip(groups, rates, before):
            group["lr"] = rate.fill_(value)
        yield
    finally:
        for group, value in zip(groups, before):
            group["lr"] = value
