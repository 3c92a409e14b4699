"""Dequantization: from integers y to real x = (y + u) / L in [0, 1)."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from bench.noise import Noise

# For larger u, y + u may round up to y + 1 in float32, outside y's bin.
LARGEST_NOISE = 1 - 2.0**-14


def dequantize_uniformly(y: Tensor, levels: int, samples: int, noise: Noise) -> Tensor:
    """Return x = (y + u) / levels with u ~ U[0, 1)^D, shape (samples, batch, D).

    For any density p, log P(y) ≥ E_u log p(x) − D log L (Theis et al. 2016, eq. 3).
    """
    u = noise.uniform(samples, *y.shape)
    return (y + u.clamp(max=LARGEST_NOISE)) / levels


Dequantization = Literal["uniform", "none"]


def dequantize(
    y: Tensor, levels: int, samples: int, noise: Noise, dequantization: Dequantization
) -> Tensor:
    """Return x for y (batch, D): uniformly dequantized, or the midpoint of y's bin for none.

    Without dequantization a density does not bound a mass: it may become arbitrarily large at the
    finitely many points where data can be (Theis et al. 2016, section 3.1).
    """
    if dequantization == "uniform":
        return dequantize_uniformly(y, levels, samples, noise)
    return ((y + 0.5) / levels).expand(samples, *y.shape)


def quantize(x: Tensor, levels: int) -> Tensor:
    """Return y whose bin [y, y + 1) / levels contains x; the edge bins are unbounded."""
    return (x * levels).floor().clamp(0, levels - 1)


def expected_level(location: Tensor, levels: int) -> Tensor:
    """Return E[y] = levels · E[x] − ½, clamped to the levels, for x = (y + u) / levels."""
    return (location * levels - 0.5).clamp(0, levels - 1)


def level_counts(images: Tensor, levels: int) -> Tensor:
    """Return the count of each level at each pixel, (D, levels) in float64, of images (n, D)."""
    counts = torch.zeros(images.shape[1], levels, dtype=torch.float64, device=images.device)
    one = torch.ones(1, dtype=torch.float64, device=images.device)
    for block in images.split(1000):
        counts.scatter_add_(1, block.T.long(), one.expand(block.T.shape))
    return counts


# Number of points of the midpoint rule for the mean over u ~ U[0, 1).
MIDPOINTS = 8


def dequantized_moments(
    images: Tensor, levels: int, transform: Callable[[Tensor], Tensor] = lambda x: x
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation per pixel of transform((y + u) / L), (D,) each.

    Args:
        images: Images (n, D).
        levels: L.
        transform: A monotone map of [0, 1), elementwise.
    """
    frequencies = level_counts(images, levels) / len(images)
    u = (torch.arange(MIDPOINTS, device=images.device, dtype=torch.float64) + 0.5) / MIDPOINTS
    values = transform((torch.arange(levels, device=images.device)[:, None] + u) / levels)
    mean = frequencies @ values.mean(1)
    variance = frequencies @ values.square().mean(1) - mean.square()
    return mean.float(), variance.clamp(min=1e-12).sqrt().float()
