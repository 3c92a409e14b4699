"""Dequantization: from integers y to real x = (y + u) / L in [0, 1)."""

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
