"""Diagonal normal distributions, and mixtures of them, in nats."""

from dataclasses import dataclass
from math import log, pi

import torch
from torch import Tensor

from bench.noise import Noise, cumulative

LOG_2PI = log(2 * pi)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """Return log N(z; 0, I) in nats, summed over the last dimension."""
    return -0.5 * (z.square() + LOG_2PI).sum(-1)


@dataclass(frozen=True)
class DiagonalNormal:
    """A batch of normal distributions with diagonal covariance.

    ``loc`` and ``log_scale`` (log standard deviation) have shape (batch, dimensions).
    """

    loc: Tensor
    log_scale: Tensor

    def sample(self, noise: Noise, samples: int) -> Tensor:
        """Draw (samples, batch, dimensions) by reparameterization."""
        epsilon = noise.normal(samples, *self.loc.shape)
        return self.loc + self.log_scale.exp() * epsilon

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log-densities in nats of z (..., batch, dimensions), shape (..., batch)."""
        standardized = (z - self.loc) * (-self.log_scale).exp()
        return standard_normal_log_prob(standardized) - self.log_scale.sum(-1)

    def kl_to_standard_normal(self) -> Tensor:
        """Return KL(this ‖ N(0, I)) in nats, shape (batch,)."""
        variance = (2 * self.log_scale).exp()
        return 0.5 * (variance + self.loc.square() - 1 - 2 * self.log_scale).sum(-1)


@dataclass(frozen=True)
class NormalMixture:
    """A mixture of diagonal normals; ``log_weights`` has shape (components,), normalized.

    ``excluded``, of shape (batch, components), takes components out for some data and
    renormalizes what is left: the leave-one-out density of an aggregated posterior.
    """

    components: DiagonalNormal
    log_weights: Tensor
    excluded: Tensor | None = None

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log-densities in nats of z (..., batch, dimensions), shape (..., batch).

        Under autograd every pair is formed directly; without it the sum runs blockwise, in bounded
        memory, and the result is float64.
        """
        if not torch.is_grad_enabled() and self.excluded is None:
            rows = mixture_log_prob(z.flatten(0, -2), self.components, self.log_weights)
            return rows.view(z.shape[:-1])
        pairs = self.components.log_prob(z.unsqueeze(-2)) + self.log_weights
        if self.excluded is None:
            return pairs.logsumexp(-1)
        left = self.log_weights.masked_fill(self.excluded, -torch.inf).logsumexp(-1)
        return pairs.masked_fill(self.excluded, -torch.inf).logsumexp(-1) - left

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draw (n, dimensions): first a component for each, by its weight, then from it."""
        position = noise.uniform(n, 1).double()[:, 0]
        sums = cumulative(self.log_weights.double().exp(), 0)
        chosen = torch.searchsorted(sums / sums[-1], position, right=True)
        chosen = chosen.clamp(max=len(sums) - 1)
        own = DiagonalNormal(self.components.loc[chosen], self.components.log_scale[chosen])
        return own.sample(noise, 1)[0]


# Rows times columns of one block of pairs: 4 MB of float64, which stays in the cache and is
# half as much time as four times as many rows.
ROW_BLOCK, COLUMN_BLOCK = 256, 2048


@torch.no_grad()
def mixture_log_prob(
    z: Tensor, components: DiagonalNormal, log_weights: Tensor, columns: int = COLUMN_BLOCK
) -> Tensor:
    """Return log Σ_j w_j N(z_i; μ_j, σ_j²) in nats for every row i, in float64.

    Args:
        z: Points, shape (n, dimensions).
        components: m components, each of ``loc`` and ``log_scale`` (m, dimensions).
        log_weights: Normalized log-weights, shape (m,).
        columns: Components taken at once; changes memory and speed, and only the rounding.

    The squared distances are one matrix product, (z², z) against (−½σ⁻², μσ⁻²). In float32 that
    expansion cancels (errors of tenths of a nat where σ is small), so it is done in float64; what
    is left to exponentiate is at most 0 and of order 1 where it counts, so float32 is enough
    there (relative error 1e-7 of the sum). The result is right to 1e-3 nats for log-variances down
    to −12 while means stay within some hundreds of their center. Exponents are clamped at −80
    because exponentials that underflow are an order of magnitude slower; at most m·e⁻⁸⁰ is added
    by that. Memory is bounded by one block of pairs, whatever n and m.
    """
    center = components.loc.double().mean(0)
    loc, log_scale = components.loc.double() - center, components.log_scale.double()
    precision = (-2 * log_scale).exp()
    coefficients = torch.cat([-0.5 * precision, loc * precision], dim=1).T.contiguous()
    constants = log_weights.double() - (log_scale + 0.5 * (loc.square() * precision + LOG_2PI)).sum(
        1
    )
    result = torch.empty(len(z), dtype=torch.float64, device=z.device)
    for start in range(0, len(z), ROW_BLOCK):
        rows = z[start : start + ROW_BLOCK].double() - center
        features = torch.cat([rows.square(), rows], dim=1)
        largest = torch.full((len(rows),), -torch.inf, dtype=torch.float64, device=z.device)
        total = torch.zeros_like(largest)
        for first in range(0, len(constants), columns):
            block = slice(first, first + columns)
            pairs = torch.addmm(constants[block], features, coefficients[:, block])
            higher = torch.maximum(largest, pairs.amax(1))
            exponents = pairs.sub_(higher[:, None]).float().clamp_(min=-80.0)
            # Up to 2048 numbers of at most 1: float32 sums them to 1e-6.
            total = total * (largest - higher).exp() + exponents.exp_().sum(1)
            largest = higher
        result[start : start + ROW_BLOCK] = largest + total.log()
    return result
