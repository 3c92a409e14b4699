"""Where the training loops of several runs meet, to take their gradient steps together."""

from collections.abc import Callable

import torch

from bench.settings import TrainerConfig
from bench.training.batches import Group
from bench.training.captured import CapturedSteps, why_not_captured
from bench.training.stacked import StackedStep, unstack
from bench.training.steps import EagerSteps, SingleStep, Step, Trained


def has_graphs(device: torch.device) -> bool:
    """Tell whether operations on a device can be captured as a graph."""
    return device.type == "cuda"


class Together:
    """Takes the gradient steps of runs that wait for each other, on a GPU as one CUDA graph.

    Each run keeps its own loop, with its own epochs, validations, checkpoints and stopping. At each
    group of mini-batches the loops wait until all have come, and the last one takes the steps of
    all. A run that has left its seat is left out from then on.

    Args:
        members: Number of runs, each of which gets a seat.
        longest: Largest number of mini-batches in a group.
        note: Called with a line for the user if steps cannot be captured on a GPU.
        wait: Lets another loop run; it returns when this one's turn has come again.
    """

    def __init__(
        self,
        members: int,
        longest: int,
        note: Callable[[str], object],
        wait: Callable[[], object] = lambda: None,
    ):
        self.seats, self.largest = [Seat(self) for _ in range(members)], members
        self.longest, self.note, self.wait = longest, note, wait
        self.steps: EagerSteps | CapturedSteps | None = None
        self.error: BaseException | None = None

    def take_all(self) -> None:
        """Take the steps of all groups that are waiting, one in each seat."""
        runs = [seat.run for seat in self.seats if seat.run is not None]
        groups = [seat.group for seat in self.seats if seat.group is not None]
        try:
            if self.steps is None:
                self.steps = self._steps_of(runs)
            self.steps.take(groups)
        except BaseException as error:
            self.error = error
            raise
        for seat in self.seats:
            seat.group = None

    def leave(self, seat: "Seat") -> None:
        self.seats.remove(seat)
        if seat.run is not None and self.steps is not None:
            for run in self.steps.step.runs:
                unstack(run)
            self.steps = None

    def _steps_of(self, runs: list[Trained]) -> EagerSteps | CapturedSteps:
        step: Step = SingleStep(runs[0]) if len(runs) == 1 else StackedStep(runs)
        if not has_graphs(runs[0].kl_weight.device):
            return EagerSteps(step)
        why_not = next(filter(None, map(why_not_captured, runs)), "")
        if why_not:
            self.note(f"steps are not captured as a CUDA graph: {why_not}")
            return EagerSteps(step)
        return CapturedSteps(step, self.longest, self.note)


def seat_of_one(
    device: torch.device, settings: TrainerConfig, longest: int, note: Callable[[str], object]
) -> "Seat | None":
    """Return a seat for a run that trains alone, whose steps are captured; None if they cannot be."""
    # A step of the encoder has other kernels than one of the decoder.
    if not has_graphs(device) or settings.encoder_steps:
        return None
    return Together(1, longest, note).seats[0]


class Seat:
    """A run's place among those that train together."""

    def __init__(self, together: Together):
        self.together = together
        self.run: Trained | None = None
        self.group: Group | None = None

    def take(self, run: Trained, group: Group) -> None:
        """Take a step of ``run`` for each mini-batch of a group, together with those of the others.

        Raises:
            RuntimeError: The steps of all failed, in the loop of another run.
        """
        self.run, self.group = run, group
        while self.group is not None:
            error = self.together.error
            if error is not None:
                raise RuntimeError(f"the steps of runs that train together failed: {error}")
            if all(seat.group is not None for seat in self.together.seats):
                self.together.take_all()
            else:
                self.together.wait()

    def leave(self) -> None:
        """Give the seat up; the others go on without this run."""
        if self in self.together.seats:
            self.together.leave(self)
