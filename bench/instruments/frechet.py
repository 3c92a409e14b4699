"""The Fréchet distance of two sets of features."""

import torch
from torch import Tensor

from bench.errors import InputError


def moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (d,) and unbiased covariance (d, d) of values (n, d), in float64."""
    values = values.double()
    mean = values.mean(0)
    centered = values - mean
    return mean, centered.T @ centered / (len(values) - 1)


def square_root(covariance: Tensor) -> Tensor:
    """Return the symmetric square root of a positive semi-definite matrix."""
    variances, vectors = torch.linalg.eigh(covariance)
    # Rounding errors make eigenvalues of a singular matrix slightly negative.
    return (vectors * variances.clamp(min=0).sqrt()) @ vectors.T


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Return the squared Fréchet (2-Wasserstein) distance of normal fits to two sets of features.

    |μ_a − μ_b|² + tr(C_a + C_b − 2 (C_a^½ C_b C_a^½)^½) (Dowson & Landau 1982), for features
    (n, d) and (m, d), in their squared units; FID is this formula on Inception features. The
    distance depends on the first two moments alone, and has an upward bias of O(1/n + 1/m)
    (Bińkowski et al. 2018): compare at equal n and m only.

    Raises:
        InputError: A set has fewer than 2 rows or numbers that are not finite, or the sets differ
            in d.
    """
    check_features(a, b)
    (mean_a, covariance_a), (mean_b, covariance_b) = moments(a), moments(b)
    # The trace of (A^½ B A^½)^½ is the sum of singular values of B^½ A^½, which avoids the square
    # root of rounding errors.
    root = square_root(covariance_b) @ square_root(covariance_a)
    overlap = torch.linalg.svdvals(root).sum()
    distance = (mean_a - mean_b).square().sum()
    distance = distance + covariance_a.trace() + covariance_b.trace() - 2 * overlap
    return max(distance.item(), 0.0)


def check_features(a: Tensor, b: Tensor) -> None:
    for name, values in (("a", a), ("b", b)):
        if values.ndim != 2 or len(values) < 2:
            raise InputError(
                f"features: {name} has shape {tuple(values.shape)}; at least 2 rows are needed"
            )
        if not torch.isfinite(values).all():
            raise InputError(f"features: {name} has numbers that are not finite")
    if a.shape[1] != b.shape[1]:
        raise InputError(f"features: a has {a.shape[1]} dimensions and b {b.shape[1]}")
