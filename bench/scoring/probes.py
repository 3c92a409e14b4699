"""Noise and images by which a model is tried."""

from typing import Any

import torch
from torch import Tensor

from bench.models.terms import Terms
from bench.noise import Noise

# The number that stands for every draw.
NORMAL, UNIFORM = 0.37, 0.37


class ConstantNoise(Noise):
    """Noise that is one number wherever it is drawn.

    So a datum gets the same noise in every batch and at every place in it, whatever the shapes in
    which a model draws.

    Args:
        device: Where it is used.
        uniform: The number on [0, 1).
        normal: The number for a standard normal.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        uniform: float = UNIFORM,
        normal: float = NORMAL,
    ):
        super().__init__("constant", device=device)
        self.of_uniform, self.of_normal = uniform, normal

    def normal(self, *shape: int) -> Tensor:
        return torch.full(shape, self.of_normal, device=self.device)

    def uniform(self, *shape: int) -> Tensor:
        return torch.full(shape, self.of_uniform, device=self.device)

    def words(self, *shape: int) -> Tensor:
        word = round(self.of_uniform * 65536) - 32768
        return torch.full(shape, word, dtype=torch.int16, device=self.device)

    def shared_permutation(self, n: int) -> Tensor:
        return torch.arange(n, device=self.device)


def elbo_of(model: Any, y: Tensor, noise: Noise, samples: int = 1) -> Tensor:
    """Return the ELBO of each sample and datum, (samples, batch), float64."""
    terms: Terms = model.terms(y, noise, samples)
    return terms.elbo.double()


def distinct_images(images: Tensor, count: int) -> Tensor:
    """Return the first images that differ from each other, (count or fewer, D)."""
    return torch.unique(images[: 10 * count], dim=0)[:count]
