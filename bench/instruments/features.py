"""Comparison of generated images with real ones, in the space of the data's principal components.

These numbers are neither FID nor precision and recall as papers tabulate them: papers use features
of an Inception or VGG network trained on ImageNet, these features are linear functions of the
pixels. The numbers compare between models on one task, with the same number of images and of
components; they compare with no published number. Linear features capture brightness, layout and
smooth shape; they do not capture what an image shows, and a blurred image lies close to a sharp one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bench.errors import InputError

# Largest number of pairwise distances in memory: 32 MB of float64.
PAIRS_IN_MEMORY = 4_000_000


@dataclass(frozen=True)
class PrincipalFeatures:
    """Projections on the leading principal components of a set of images.

    The scores are not whitened: distances between them are distances between images, in levels,
    without the part outside the components.

    Attributes:
        mean: Mean image, (D,) in float64.
        components: Orthonormal directions by falling variance, (dimensions, D) in float64.
    """

    mean: Tensor
    components: Tensor

    @classmethod
    def fit(cls, images: Tensor, dimensions: int) -> "PrincipalFeatures":
        """Return the first ``dimensions`` components of the training images (n, D).

        Raises:
            InputError: The images do not have so many components.
        """
        n, pixels = images.shape
        if not 1 <= dimensions <= min(n - 1, pixels):
            raise InputError(
                f"features: {n} images of {pixels} dimensions do not have {dimensions} components; "
                f"take 1 to {min(n - 1, pixels)}"
            )
        mean, covariance = moments(images)
        _, vectors = torch.linalg.eigh(covariance)  # by rising variance
        return cls(mean, vectors.flip(1)[:, :dimensions].T.contiguous())

    def __call__(self, images: Tensor) -> Tensor:
        """Return the scores of images (n, D), shape (n, dimensions) in float64."""
        return (images.double() - self.mean) @ self.components.T


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
    check_features("a", a, "b", b, at_least=2)
    (mean_a, covariance_a), (mean_b, covariance_b) = moments(a), moments(b)
    # The trace of (A^½ B A^½)^½ is the sum of singular values of B^½ A^½, which avoids the square
    # root of rounding errors.
    root = square_root(covariance_b) @ square_root(covariance_a)
    overlap = torch.linalg.svdvals(root).sum()
    distance = (mean_a - mean_b).square().sum()
    distance = distance + covariance_a.trace() + covariance_b.trace() - 2 * overlap
    return max(distance.item(), 0.0)


class PrecisionRecall(NamedTuple):
    """Attributes:
    precision: Share of generated images within the support of real ones; in [0, 1].
    recall: Share of real images within the support of generated ones; in [0, 1].
    """

    precision: float
    recall: float


def precision_and_recall(real: Tensor, generated: Tensor, k: int = 3) -> PrecisionRecall:
    """Return the shares of generated and of real features within the other set's support.

    Kynkäänniemi et al. 2019 (eqs. 1 and 2): the support of a set is the union of balls around its
    points, each with the distance to the k-th nearest neighbour in the set as its radius. Implausible
    images lower the precision, missing variety lowers the recall; one image drawn repeatedly has a
    high precision, and copies of the training data have both equal to 1. Both depend on the sizes of
    the sets and on k.

    Args:
        real: Features of real images, (n, d).
        generated: Features of generated images, (m, d).
        k: Number of neighbours; the paper uses 3.

    Raises:
        InputError: k is less than 1, a set has no more than k rows or numbers that are not finite,
            or the sets differ in d.
    """
    if k < 1:
        raise InputError(f"features: k = {k} is less than 1 neighbour")
    check_features("real", real, "generated", generated, at_least=k + 1)
    real, generated = real.double(), generated.double()
    return PrecisionRecall(
        precision=share_inside(generated, real, k), recall=share_inside(real, generated, k)
    )


def share_inside(points: Tensor, support: Tensor, k: int) -> float:
    """Return the share of points (n, d) inside any k-nearest-neighbour ball of support (m, d)."""
    # Each point is its own nearest neighbour, at distance 0: hence k + 1.
    nearest = [block.kthvalue(k + 1, dim=1)[0] for block in distance_blocks(support, support)]
    radii = torch.cat(nearest)
    inside = [(block <= radii).any(1) for block in distance_blocks(points, support)]
    return torch.cat(inside).double().mean().item()


def distance_blocks(rows: Tensor, columns: Tensor) -> Iterator[Tensor]:
    """Yield the distances of successive blocks of rows (n, d) to all columns (m, d)."""
    for block in rows.split(max(1, PAIRS_IN_MEMORY // len(columns))):
        # A matrix product would lose precision far from the origin and between close points.
        yield torch.cdist(block, columns, compute_mode="donot_use_mm_for_euclid_dist")


def check_features(name_a: str, a: Tensor, name_b: str, b: Tensor, at_least: int) -> None:
    for name, values in ((name_a, a), (name_b, b)):
        if values.ndim != 2 or len(values) < at_least:
            raise InputError(
                f"features: {name} has shape {tuple(values.shape)}; "
                f"at least {at_least} rows of features are needed"
            )
        if not torch.isfinite(values).all():
            raise InputError(f"features: {name} has numbers that are not finite")
    if a.shape[1] != b.shape[1]:
        raise InputError(
            f"features: {name_a} has {a.shape[1]} dimensions and {name_b} {b.shape[1]}"
        )
