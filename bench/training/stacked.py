"""Runs of one architecture trained as one network, whose weights have a dimension for the runs.

A small network's step leaves a GPU idle: it waits for the launches of a hundred kernels. Stacked runs
share the launches. `torch.func.vmap` maps the model's own code over parameters, mini-batches and
noise, so that neither models nor densities know of it.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.conv import _ConvNd

from bench.models.terms import Model
from bench.noise import Noise
from bench.settings import TrainerConfig
from bench.training.batches import Batch
from bench.training.steps import Objective, Trained

# A draw of noise: the name of a method of `Noise`, and its arguments.
Draw = tuple[str, tuple[int, ...]]
KINDS = ("normal", "uniform", "words", "shared_permutation")


def why_not_stacked(model: Model, settings: TrainerConfig) -> str:
    """Return why runs of this model are trained one by one; empty if they can be stacked."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return "it is not trained by gradients"
    if any(isinstance(part, _ConvNd) for part in model.modules()):
        # cuDNN's grouped convolutions take as long as one convolution after the other.
        return "convolutions do not gain by it"
    if settings.devices > 1:
        return "it trains on several devices"
    if settings.encoder_steps:
        return "its encoder and decoder are trained in turn"
    if settings.compile != "none":
        return "its networks are compiled"
    return ""


class Recorder:
    """Noise that notes what is drawn from it."""

    rank, world = 0, 1

    def __init__(self, noise: Noise):
        self.noise, self.draws = noise, list[Draw]()
        self.device = noise.device

    def __getattr__(self, kind: str) -> Any:
        if kind not in KINDS:
            raise AttributeError(kind)

        def draw(*arguments: int) -> Tensor:
            self.draws.append((kind, arguments))
            return cast(Tensor, getattr(self.noise, kind)(*arguments))

        return draw


class Replay:
    """Noise whose numbers were drawn before, in the order in which they are used."""

    rank, world = 0, 1

    def __init__(self, numbers: Sequence[Tensor]):
        self.numbers = iter(numbers)

    def __getattr__(self, kind: str) -> Any:
        if kind not in KINDS:
            raise AttributeError(kind)
        return lambda *arguments: next(self.numbers)


class StackedStep:
    """One gradient step of several runs, computed as one.

    The parameters of all runs are stacked, and those of each run become views of its own part: each
    optimizer moves, and each checkpoint holds, its run's own. Draws of noise are each run's own too,
    so that stacked and single runs agree to rounding.

    Args:
        runs: Runs whose models differ in nothing but the values of their parameters.
    """

    def __init__(self, runs: Sequence[Trained]):
        self.runs = list(runs)
        objectives = [Objective(run) for run in runs]
        self.objective = objectives[0]
        own = [dict(objective.named_parameters()) for objective in objectives]
        self.stacked = stack(own)
        for name, parameter in self.stacked.items():
            parameter.requires_grad_(own[0][name].requires_grad)
        self.moving = [name for name in self.stacked if own[0][name].requires_grad]
        self.moved = [[parameters[name] for name in self.moving] for parameters in own]
        # What is not part of a state, as images that priors are made of, is the same for all runs.
        self.buffers = stack([states_of(objective) for objective in objectives])
        self.draws: list[Draw] | None = None

    def __call__(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        images = torch.stack([batch.images for batch in batches])
        indices = torch.stack([batch.indices for batch in batches if batch.indices is not None])
        kl_weights = torch.stack([run.kl_weight for run in self.runs])
        if self.draws is None:
            self.draws = self.rehearse(images[0], indices[0], kl_weights[0])
        numbers = [
            torch.stack([getattr(run.noise, kind)(*arguments) for run in self.runs])
            for kind, arguments in self.draws
        ]
        losses, elbos, reconstructions = vmap(self.one)(
            self.stacked, self.buffers, images, indices, kl_weights, numbers
        )
        leaves = [self.stacked[name] for name in self.moving]
        # Fused optimizers take gradients for laid out as parameters are, and don't look.
        gradients = [
            None if gradient is None else gradient.contiguous()
            for gradient in torch.autograd.grad(losses.sum(), leaves, allow_unused=True)
        ]
        for position, (run, parameters) in enumerate(zip(self.runs, self.moved)):
            run.means.has_kl = self.runs[0].means.has_kl
            for parameter, gradient in zip(parameters, gradients):
                parameter.grad = None if gradient is None else gradient[position]
            run.move()
        return elbos, reconstructions

    def one(
        self,
        parameters: dict[str, Tensor],
        buffers: dict[str, Tensor],
        images: Tensor,
        indices: Tensor,
        kl_weight: Tensor,
        numbers: list[Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The objective of one run, as a function of what differs between runs: each is a parameter."""
        arguments = images, indices, kl_weight, Replay(numbers)
        found: tuple[Tensor, Tensor, Tensor] = functional_call(
            self.objective, (parameters, buffers), arguments
        )
        return found

    @torch.no_grad()
    def rehearse(self, images: Tensor, indices: Tensor, kl_weight: Tensor) -> list[Draw]:
        """Return what a step draws, in its order. Nothing moves: buffers are copies."""
        recorder = Recorder(Noise("rehearsal", device=images.device))
        copies = {name: buffer[0].clone() for name, buffer in self.buffers.items()}
        functional_call(self.objective, copies, (images, indices, kl_weight, recorder))
        return recorder.draws


def states_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the buffers that are part of a module's state."""
    states = module.state_dict(keep_vars=True)
    return {name: buffer for name, buffer in module.named_buffers() if name in states}


@torch.no_grad()
def stack(own: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Return tensors of several runs with a dimension for the runs, of which theirs become views."""
    stacked = {name: torch.stack([tensors[name] for tensors in own]) for name in own[0]}
    for position, tensors in enumerate(own):
        for name, tensor in tensors.items():
            tensor.data = stacked[name][position]
    return stacked


@torch.no_grad()
def unstack(run: Trained) -> None:
    """Give a run's parameters and buffers memory of their own again."""
    for tensor in (*run.model.parameters(), *states_of(run.model).values()):
        tensor.data = tensor.data.clone()
        if tensor.grad is not None:
            tensor.grad = None
