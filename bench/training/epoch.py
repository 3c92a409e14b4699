"""What one epoch of a training was like, and whether its numbers are still finite."""

from collections.abc import Callable
from math import isfinite

import torch
from torch import Tensor

from bench.models.terms import Terms
from bench.records.types import EpochRecord


class TrainingDiverged(RuntimeError):
    """The objective is no longer a finite number, or the trained model is no model of its data."""


def has_kl(terms: Terms) -> bool:
    """Tell whether terms have a KL, as those of a model with q(z|y) do and those of a flow do not."""
    return terms.kl_analytic is not None or terms.log_posterior is not None


def means_of(terms: Terms) -> tuple[Tensor, Tensor]:
    """Return the mean ELBO and the mean reconstruction of a step, () each, without gradients."""
    return terms.elbo.detach().mean(), terms.reconstruction.detach().mean()


class EpochMeans:
    """Collects each step's mean ELBO and reconstruction in nats, on the model's device.

    They are read once an epoch, because reading at every step would make a GPU wait.
    """

    def __init__(self) -> None:
        self.elbos: list[Tensor] = []
        self.reconstructions: list[Tensor] = []
        self.has_kl = False

    def clear(self) -> None:
        self.elbos.clear()
        self.reconstructions.clear()

    def add(self, terms: Terms) -> None:
        """Add the terms of one step."""
        self.note(terms)
        self.add_steps(*means_of(terms))

    def note(self, terms: Terms) -> None:
        """Take note of which terms there are."""
        self.has_kl = has_kl(terms)

    def add_steps(self, elbos: Tensor, reconstructions: Tensor) -> None:
        """Add the means of one step, (), or of several, (steps,)."""
        self.elbos.append(elbos)
        self.reconstructions.append(reconstructions)

    def summary(
        self, mean_over_ranks: Callable[[Tensor], Tensor], epoch: int, history: list[EpochRecord]
    ) -> dict[str, float]:
        """Return the epoch's means: train_elbo, train_reconstruction, and train_kl if there is one.

        Args:
            mean_over_ranks: Reduces the values of all steps, (steps,).
            epoch: The epoch, counted from 1, and
            history: the validated epochs before it, for the message.

        Raises:
            TrainingDiverged: The ELBO of a step is not finite.
        """
        elbos, reconstructions = (
            mean_over_ranks(torch.hstack(values).double()).cpu()
            for values in (self.elbos, self.reconstructions)
        )
        elbo, reconstruction = elbos.mean().item(), reconstructions.mean().item()
        if not isfinite(elbo):
            raise TrainingDiverged(where_it_diverged(elbos, epoch, history))
        means = {"train_elbo": elbo, "train_reconstruction": reconstruction}
        return means | ({"train_kl": reconstruction - elbo} if self.has_kl else {})


def where_it_diverged(elbos: Tensor, epoch: int, history: list[EpochRecord]) -> str:
    """Return at which step the objective was not finite, and the last finite values before it."""
    step = int((~elbos.isfinite()).nonzero()[0])
    seen = f"{elbos[step - 1].item():.6g} in the step before" if step else "none in this epoch"
    if not step and history:
        seen += f", {history[-1]['train_elbo']:.6g} in epoch {history[-1]['epoch']}"
    return (
        f"the training objective became {elbos[step].item()} in step {step + 1} of epoch "
        f"{epoch}; last finite ELBO: {seen} (nats)"
    )
