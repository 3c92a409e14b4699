"""Models without gradient training, as references for the trained ones."""

from math import log, prod

import torch
from torch import Tensor

from bench.densities.dequantization import level_counts
from bench.models.terms import Model, Terms
from bench.networks.mlp import Shape
from bench.noise import Noise, cumulative


class PixelTable(Model):
    """Independent pixels with a table of log-masses (D, levels)."""

    bound = "exact"
    log_mass: Tensor

    def __init__(self, shape: Shape, levels: int):
        super().__init__(shape, levels)
        self.levels = levels
        self.register_buffer("log_mass", torch.full((prod(shape), levels), -log(levels)).double())

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> Terms:
        chosen = self.log_mass.expand(len(y), -1, -1).gather(-1, y.long()[..., None])
        return Terms(reconstruction=chosen.sum((-1, -2)).expand(samples, -1))

    def sample(self, n: int, noise: Noise) -> Tensor:
        sums = cumulative(self.log_mass.exp(), -1)[:, :-1]
        u = noise.uniform(n, len(sums)).double()
        return (sums <= u[..., None]).sum(-1).float()


class Uniform(PixelTable):
    """The uniform distribution over images: log2 L bits/dim."""


class IndependentPixels(PixelTable):
    """A categorical distribution per pixel: the training split's frequencies, add-one smoothed."""

    def fit(self, images: Tensor) -> None:
        """Set the masses to (count + 1) / (n + levels) for training images (n, D)."""
        counts = level_counts(images, self.levels)
        self.log_mass = ((counts + 1) / (len(images) + self.levels)).log()
