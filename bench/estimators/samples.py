"""Sharpness of images."""

from math import isfinite

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.estimators.estimate import Estimate

# Width and height of the Laplacian in pixels.
LAPLACIAN = 3


def laplacian_variance(images: Tensor, shape: tuple[int, int, int], levels: int) -> Tensor:
    """Return the variance over pixels of each image's Laplacian, a measure of sharpness.

    Pech-Pacheco et al. 2000. Images (n, D) with values in [0, levels − 1] are scaled to [0, 1];
    the 3 × 3 Laplacian is taken without padding, per channel. Shape of the result: (n,).
    """
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    scaled = images.float().view(-1, *shape) / (levels - 1)
    kernel = kernel.to(scaled).expand(shape[0], 1, 3, 3)
    response = F.conv2d(scaled, kernel, groups=shape[0])
    return response.flatten(1).double().var(1, correction=0)


def sharpness(
    images: Tensor, data: Tensor, shape: tuple[int, int, int], levels: int
) -> Estimate | None:
    """Return mean Laplacian variance of ``images`` over that of ``data``; 1 is as sharp as data.

    The standard error is that of the ratio of means by the delta method. None where the ratio is
    undefined: the Laplacian does not fit into the images, or the data have no edges (constant
    images; of 3 × 3 pixels it is one number without a variance), or ``images`` are not finite.
    """
    if min(shape[1:]) < LAPLACIAN:
        return None
    ours, theirs = (laplacian_variance(x, shape, levels) for x in (images, data))
    ratio = (ours.mean() / theirs.mean()).item()
    if not isfinite(ratio):
        return None
    if ratio == 0:  # all of them images without an edge
        return Estimate(0.0, 0.0, len(images), 1)
    relative = sum((x.var() / (len(x) * x.mean().square())).item() for x in (ours, theirs))
    stderr = abs(ratio) * relative**0.5
    return Estimate(ratio, stderr if isfinite(stderr) else None, len(images), 1)
