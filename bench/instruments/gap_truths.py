"""Gaps of a linear-Gaussian model, which `bench calibrate` knows in closed form."""

from collections.abc import Iterator
from functools import cache
from math import ceil
from typing import Any

import torch
from torch import Tensor

from bench.densities.normal import LOG_2PI, DiagonalNormal, standard_normal_log_prob
from bench.estimators.estimate import Estimate
from bench.inspection.gaps import GapSettings, InferenceGaps, block_samples, gaps_of
from bench.inspection.joint_density import JointDensity
from bench.inspection.local_posteriors import diagonal_family
from bench.instruments.known_truths import Instrument
from bench.noise import EVALUATION_BLOCK, Noise

REPEATS = 500


class CorrelatedGaussian:
    """x = W z + ε with z ~ N(0, I) and ε ~ N(0, σ² I), whose posterior is correlated; in float64.

    Its precision is Λ = I + WᵀW/σ². The best diagonal q for KL(q ‖ p(z|x)) has the posterior's mean and
    the precisions Λ_ii (Bishop 2006, section 10.1.2). The encoder here is that q with its mean shifted
    and its deviations stretched.

    Args:
        dimensions: Number of dimensions of x.
        latent_dimensions: Number of dimensions of z.
        sigma: Standard deviation of ε.
        shift: The mean of the encoder's q minus the posterior's, in each dimension.
        stretch: The deviations of the encoder's q over those of the best diagonal q.
    """

    # All parameters are numbers of one model.
    def __init__(
        self,
        dimensions: int = 6,
        latent_dimensions: int = 4,
        sigma: float = 1.0,
        shift: float = 0.0,
        stretch: float = 1.0,
    ):
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(dimensions, latent_dimensions, generator=generator).double()
        self.sigma, self.shift, self.stretch = sigma, shift, stretch
        eye = torch.eye(latent_dimensions, dtype=torch.float64)
        self.precision = eye + self.weight.T @ self.weight / sigma**2

    def data(self, n: int) -> Tensor:
        """Draw x (n, dimensions)."""
        noise = Noise("correlated Gaussian")
        z = noise.normal(n, self.weight.shape[1]).double()
        return z @ self.weight.T + self.sigma * noise.normal(n, len(self.weight)).double()

    def encoder(self, x: Tensor) -> DiagonalNormal:
        """Return the encoder's q(z|x)."""
        loc = torch.linalg.solve(self.precision, (x @ self.weight / self.sigma**2).T).T
        scale = self.precision.diagonal().rsqrt() * self.stretch
        return DiagonalNormal(loc + self.shift, scale.log().expand_as(loc))

    def joint(self, x: Tensor) -> JointDensity:
        """Return log p(x, z)."""

        def log_joint(z: Tensor) -> Tensor:
            error = (x - z @ self.weight.T) / self.sigma
            constant = x.shape[1] * torch.tensor(self.sigma).log().item()
            likelihood = -0.5 * (error.square() + LOG_2PI).sum(-1) - constant
            return likelihood + standard_normal_log_prob(z)

        return JointDensity(log_joint, log_joint)

    def log_evidence(self, x: Tensor) -> Tensor:
        """Return log p(x) in nats, (n,)."""
        eye = torch.eye(x.shape[1], dtype=torch.float64)
        covariance = self.weight @ self.weight.T + self.sigma**2 * eye
        centre = torch.zeros(x.shape[1], dtype=torch.float64)
        return torch.distributions.MultivariateNormal(centre, covariance).log_prob(x)

    def approximation_gap(self) -> float:
        """Return KL(q* ‖ p(z|x)) in nats, the same for every x."""
        logs = self.precision.diagonal().log().sum() - torch.linalg.slogdet(self.precision)[1]
        return 0.5 * logs.item()

    def amortization_gap(self) -> float:
        """Return KL(q ‖ p(z|x)) − KL(q* ‖ p(z|x)) in nats, the same for every x."""
        squares = self.stretch**2
        shift = torch.full((len(self.precision),), self.shift, dtype=torch.float64)
        widths = len(self.precision) * (squares - 1 - torch.tensor(squares).log().item())
        return 0.5 * (widths + (shift @ self.precision @ shift).item())


# The search for q* is that of every published gap, in blocks of the same size, over whose mean its
# criterion is. The numbers of samples are smaller.
SETTINGS = GapSettings(importance_samples=100, elbo_samples=50)


def repeated_gaps(
    model: CorrelatedGaussian, n: int, repeats: int, *noise_key: int | str
) -> list[InferenceGaps]:
    """Return the gaps of n data of a linear-Gaussian model, measured so many times with other noise.

    Each block holds several repeats, because each datum is optimized by itself.
    """
    x = model.data(n)
    in_block = EVALUATION_BLOCK // n
    copies = x.repeat(in_block, 1)
    found: list[InferenceGaps] = []
    for block in range(ceil(repeats / in_block)):
        every = block_samples(
            model.joint(copies), diagonal_family(model.encoder(copies)), SETTINGS, *noise_key, block
        )
        parts = (every.of_data(slice(first, first + n)) for first in range(0, n * in_block, n))
        found += [gaps_of(part, SETTINGS, ("standard", "diagonal")) for part in parts]
    return found[:repeats]


# (setting, options of the model, repeats). The second is hard: its posterior's dimensions are strongly correlated, and q
# starts six of its deviations away.
MODELS: tuple[tuple[str, dict[str, Any], int], ...] = (
    (
        "linear-Gaussian with a correlated posterior, q shifted and narrowed, n = 10",
        {"shift": 0.3, "stretch": 0.7},
        REPEATS,
    ),
    (
        "the same with 10 latent dimensions and a small σ, n = 10",
        {"dimensions": 20, "latent_dimensions": 10, "sigma": 0.3, "shift": 0.3, "stretch": 0.7},
        200,
    ),
)


def gap_instruments() -> Iterator[Instrument]:
    """The approximation and the amortization gap, and what a full covariance closes."""
    for setting, options, repeats in MODELS:
        yield from instruments_of(CorrelatedGaussian(**options), setting, repeats)


def instruments_of(model: CorrelatedGaussian, setting: str, repeats: int) -> Iterator[Instrument]:
    gaps = cache(lambda: repeated_gaps(model, 10, repeats, "gaps", setting))

    def closed(repeat: int) -> Estimate:
        estimate = gaps()[repeat].closed_by_full_covariance
        assert estimate is not None
        return estimate

    approximation, amortization = model.approximation_gap(), model.amortization_gap()
    for name, truth, estimate in (
        ("approximation gap", approximation, lambda repeat: gaps()[repeat].approximation_gap),
        ("amortization gap", amortization, lambda repeat: gaps()[repeat].amortization_gap),
        ("gap that a full covariance closes", approximation, closed),
    ):
        yield Instrument(name, setting, truth, estimate, repeats=repeats)
