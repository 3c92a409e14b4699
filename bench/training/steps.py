"""Gradient steps of a run: its objective, its gradients, and what moves its weights."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from bench.models.terms import Model
from bench.noise import Noise
from bench.settings import Optimization
from bench.training.batches import Batch, Group
from bench.training.epoch import EpochMeans, means_of


class Trained(Protocol):
    """A run as its gradient steps see it; `ManySteps` is one.

    Attributes:
        model: What is trained, on its device, in training mode.
        optimization: What is maximized, and by which steps.
        noise: The run's training noise.
        means: Collects each step's ELBO.
        kl_weight: β of the coming steps, a tensor () on the model's device.
        parameters_to_move: The parameters that are trained.
    """

    model: Model
    optimization: Optimization
    noise: Noise
    means: EpochMeans
    kl_weight: Tensor

    @property
    def parameters_to_move(self) -> list[nn.Parameter]: ...

    @property
    def torch_optimizer(self) -> torch.optim.Optimizer: ...

    def objective(self, terms: Any, kl_weight: float | Tensor) -> Tensor: ...

    def move(self) -> None:
        """Move the weights by the gradients, normalized and clipped as the settings say."""


class Step(Protocol):
    """One gradient step of each of ``runs``."""

    @property
    def runs(self) -> Sequence[Trained]: ...

    def __call__(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Take it on a mini-batch for each run.

        Returns:
            The mean ELBO and the mean reconstruction of each run's mini-batch, (runs,), in nats.
        """


class Objective(nn.Module):
    """A run's loss as a module: a function of its parameters, a mini-batch and noise."""

    def __init__(self, run: Trained):
        super().__init__()
        self.model = run.model
        self.run = (run,)  # in a tuple, so that a run that is a module is not a part of this one

    def forward(
        self, images: Tensor, indices: Tensor, kl_weight: Tensor, noise: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss, and the mean ELBO and reconstruction of the mini-batch, () each."""
        (run,) = self.run
        terms = self.model.terms(images, cast(Noise, noise), run.optimization.samples, indices)
        run.means.note(terms)
        return -run.objective(terms, kl_weight).mean(), *means_of(terms)


class SingleStep:
    """A gradient step of one run."""

    def __init__(self, run: Trained):
        self.runs, self.objective = [run], Objective(run)

    def __call__(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        (run,), (batch,) = self.runs, batches
        loss, elbo, reconstruction = self.objective(
            batch.images, batch.indices, run.kl_weight, run.noise
        )
        for parameter in run.parameters_to_move:
            parameter.grad = None
        loss.backward()
        run.move()
        return elbo.unsqueeze(0), reconstruction.unsqueeze(0)


class EagerSteps:
    """Takes the steps of groups of mini-batches, one operation after the other."""

    def __init__(self, step: Step):
        self.step = step

    def take(self, groups: Sequence[Group]) -> None:
        """Take a step for each mini-batch of the groups, one group for each run."""
        for batches in zip(*(group.batches() for group in groups), strict=True):
            for run, *means in zip(self.step.runs, *self.step(batches)):
                run.means.add_steps(*means)
