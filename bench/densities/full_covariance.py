"""Normal distributions with a full covariance, and uniform mixtures of them, in nats."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import log

import torch
from torch import Tensor

from bench.densities.normal import (
    LOG_2PI,
    DiagonalNormal,
    NormalMixture,
    standard_normal_log_prob,
    uniform_mixture,
)
from bench.noise import Noise, cumulative

# Numbers of one block of standardized pairs (points, components, dimensions): 32 MB of float64.
BLOCK_OF_PAIRS = 2**22


def below_diagonal(dimensions: int) -> int:
    """Return how many entries of a square matrix lie below its diagonal."""
    return dimensions * (dimensions - 1) // 2


@dataclass(frozen=True)
class FullCovarianceNormal:
    """A batch of normal distributions with covariance L Lᵀ, L = diag(scale) · A.

    A is lower triangular with a diagonal of ones, so that log det L is the sum of the log-scales, and
    A = I is the diagonal normal. Kingma et al. 2016 (appendix A) parameterize L in a similar way.

    Attributes:
        loc: The means, (batch, dimensions).
        log_scale: Logarithms of L's diagonal, (batch, dimensions).
        lower: The entries of A below its diagonal, row by row, (batch, d (d − 1) / 2).

    Examples:
        >>> q = FullCovarianceNormal(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([[3.0]]))
        >>> q.factor
        tensor([[[1., 0.],
                 [3., 1.]]])
        >>> q.kl_to_standard_normal()  # half of the square of 3
        tensor([4.5000])
    """

    loc: Tensor
    log_scale: Tensor
    lower: Tensor

    @cached_property
    def unit_factor(self) -> Tensor:
        """A, of shape (batch, dimensions, dimensions)."""
        d = self.loc.shape[-1]
        row, column = torch.tril_indices(d, d, -1, device=self.loc.device)
        matrix = torch.eye(d, dtype=self.loc.dtype, device=self.loc.device)
        flat = matrix.flatten().expand(len(self.loc), -1)
        return flat.index_add(1, row * d + column, self.lower).unflatten(1, (d, d))

    @cached_property
    def factor(self) -> Tensor:
        """L, of shape (batch, dimensions, dimensions)."""
        return self.log_scale.exp()[..., None] * self.unit_factor

    def sample(self, noise: Noise, samples: int) -> Tensor:
        """Draw (samples, batch, dimensions) by reparameterization."""
        drawn = noise.normal(samples, *self.loc.shape).to(self.loc.dtype)
        return self.loc + torch.einsum("bij,sbj->sbi", self.factor, drawn)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log-densities in nats of z (..., batch, dimensions), shape (..., batch)."""
        scaled = (z - self.loc) * (-self.log_scale).exp()
        columns = scaled.flatten(0, -3).permute(1, 2, 0)
        solved = torch.linalg.solve_triangular(
            self.unit_factor, columns, upper=False, unitriangular=True
        )
        standardized = solved.permute(2, 0, 1).reshape(z.shape)
        return standard_normal_log_prob(standardized) - self.log_scale.sum(-1)

    def kl_to_standard_normal(self) -> Tensor:
        """Return KL(this ‖ N(0, I)) in nats, shape (batch,)."""
        squares = self.factor.square().sum((-1, -2)) + self.loc.square().sum(-1)
        return 0.5 * (squares - self.loc.shape[-1]) - self.log_scale.sum(-1)

    def double(self) -> "FullCovarianceNormal":
        """Return the same in float64."""
        return replace(
            self,
            loc=self.loc.double(),
            log_scale=self.log_scale.double(),
            lower=self.lower.double(),
        )


# Posteriors whose aggregate over a whole split has an exact log-density, as ELBO surgery needs it.
NormalDistribution = DiagonalNormal | FullCovarianceNormal


@dataclass(frozen=True)
class FullCovarianceMixture:
    """The mixture of m normals with full covariances and weights 1/m."""

    components: FullCovarianceNormal

    @torch.no_grad()
    def log_prob(self, z: Tensor) -> Tensor:
        """Return log-densities in nats, float64, of z (..., batch, dimensions), shape (..., batch).

        All pairs of points and components are computed directly, a block at a time, without terms that
        cancel. It takes 2 d² operations for each pair.
        """
        rows = z.double().flatten(0, -2)
        d, m = rows.shape[-1], len(self.components.loc)
        total = rows.new_full((len(rows),), -torch.inf)
        width = max(1, BLOCK_OF_PAIRS // max(1, len(rows) * d))
        for first in range(0, m, width):
            part = self.part(slice(first, first + width)).double()
            inverse = torch.linalg.solve_triangular(
                part.factor, torch.eye(d, dtype=torch.float64, device=z.device), upper=False
            )
            # L⁻¹ z of all pairs is one matrix product.
            products = rows @ inverse.permute(2, 0, 1).flatten(1)
            means = (inverse @ part.loc[..., None])[..., 0]
            squares = (products.unflatten(1, means.shape) - means).square().sum(-1)
            pairs = -0.5 * squares - part.log_scale.sum(-1)
            total = torch.logaddexp(total, pairs.logsumexp(1))
        return (total - 0.5 * d * LOG_2PI - log(m)).view(z.shape[:-1])

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draw (n, dimensions): for each, a component, and then a sample of it."""
        position = noise.uniform(n, 1).double()[:, 0]
        weights = torch.full((len(self.components.loc),), 1.0, dtype=torch.float64)
        sums = cumulative(weights.to(position.device), 0) / len(weights)
        chosen = torch.searchsorted(sums, position, right=True).clamp(max=len(weights) - 1)
        drawn = self.part(chosen)
        return drawn.sample(noise, 1)[0]

    def part(self, chosen: Tensor | slice) -> FullCovarianceNormal:
        """Return some of the components."""
        every = self.components
        return FullCovarianceNormal(every.loc[chosen], every.log_scale[chosen], every.lower[chosen])


def aggregate_of(posteriors: NormalDistribution) -> NormalMixture | FullCovarianceMixture:
    """Return q_agg, the mixture of all posteriors with equal weights."""
    if isinstance(posteriors, FullCovarianceNormal):
        return FullCovarianceMixture(posteriors)
    return uniform_mixture(posteriors)
