"""Dequantization: from integers y to real x = (y + u) / L in [0, 1)."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from bench.noise import Noise


def dequantize_uniformly(y: Tensor, levels: int, samples: int, noise: Noise) -> Tensor:
    """Return x = (y + u) / levels with u ~ U[0, 1)^D, shape (samples, batch, D).

    With it log P(y) ≥ E_u log p(x) − D log L for any density p (Theis et al. 2016, eq. 3).
    """
    u = noise.uniform(samples, *y.shape)
    # y + u can round up to y + 1 in float32; keep x inside the bin, and below 1.
    x = (y + u) / levels
    return torch.minimum(x, (y + (1 - 2**-14)) / levels)


Dequantization = Literal["uniform", "none"]


def dequantize(
    y: Tensor, levels: int, samples: int, noise: Noise, dequantization: Dequantization
) -> Tensor:
    """Return x for y (batch, D), uniformly dequantized or, for none, at the middle of its bin.

    Without dequantization a density is no bound on a mass: it may grow without limit at the
    finitely many points that the data takes (Theis et al. 2016, section 3.1).
    """
    if dequantization == "uniform":
        return dequantize_uniformly(y, levels, samples, noise)
    return ((y + 0.5) / levels).expand(samples, *y.shape)


def level_counts(images: Tensor, levels: int) -> Tensor:
    """Return how often each pixel takes each level, (D, levels) in float64, for images (n, D)."""
    counts = torch.zeros(images.shape[1], levels, dtype=torch.float64, device=images.device)
    one = torch.ones(1, dtype=torch.float64, device=images.device)
    for block in images.split(1000):
        counts.scatter_add_(1, block.T.long(), one.expand(block.T.shape))
    return counts


# Points of the midpoint rule that stand for u ~ U[0, 1) in the moments below.
MIDPOINTS = 8


def dequantized_moments(
    images: Tensor, levels: int, transform: Callable[[Tensor], Tensor] = lambda x: x
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of transform((y + u) / L) for each pixel, (D,) each.

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
