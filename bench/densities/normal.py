"""Diagonal normal distributions, and mixtures of them, in nats."""

from dataclasses import dataclass
from functools import cached_property
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


# Rows times columns of one block of pairs: 4 MB of float64, which stays in the cache and is
# half as much time as four times as many rows.
ROW_BLOCK, COLUMN_BLOCK = 256, 2048


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
            return self.table.log_prob(z.flatten(0, -2)).view(z.shape[:-1])
        pairs = self.components.log_prob(z.unsqueeze(-2)) + self.log_weights
        if self.excluded is None:
            return pairs.logsumexp(-1)
        left = self.log_weights.masked_fill(self.excluded, -torch.inf).logsumexp(-1)
        return pairs.masked_fill(self.excluded, -torch.inf).logsumexp(-1) - left

    @cached_property
    def table(self) -> "MixtureTable":
        return MixtureTable(self.components, self.log_weights)

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draw (n, dimensions): first a component for each, by its weight, then from it."""
        position = noise.uniform(n, 1).double()[:, 0]
        sums = cumulative(self.log_weights.double().exp(), 0)
        chosen = torch.searchsorted(sums / sums[-1], position, right=True)
        chosen = chosen.clamp(max=len(sums) - 1)
        own = DiagonalNormal(self.components.loc[chosen], self.components.log_scale[chosen])
        return own.sample(noise, 1)[0]


def uniform_mixture(components: DiagonalNormal) -> NormalMixture:
    """Return the mixture of all m components with weight 1/m each."""
    m = len(components.loc)
    weights = torch.full((m,), -log(m), dtype=torch.float64, device=components.loc.device)
    return NormalMixture(components, weights)


class MixtureTable:
    """What the blockwise log-density of a mixture needs of its components, computed once.

    The squared distances are one matrix product, (z², z) against (−½σ⁻², μσ⁻²). In float32 that
    expansion cancels (errors of tenths of a nat where σ is small), so it is done in float64; what
    is left to exponentiate is at most 0 and of order 1 where it counts, so float32 is enough
    there (relative error 1e-7 of the sum). The result is right to 1e-3 nats for log-variances down
    to −12 while means stay within some hundreds of their center. Exponents are clamped at −80
    because exponentials that underflow are an order of magnitude slower; at most m·e⁻⁸⁰ is added
    by that. Memory is bounded by one block of pairs, whatever n and m.

    Args:
        components: m components, each of ``loc`` and ``log_scale`` (m, dimensions).
        log_weights: Normalized log-weights, shape (m,).
    """

    @torch.no_grad()
    def __init__(self, components: DiagonalNormal, log_weights: Tensor):
        self.center = components.loc.double().mean(0)
        loc, log_scale = components.loc.double() - self.center, components.log_scale.double()
        precision = (-2 * log_scale).exp()
        self.coefficients = torch.cat([-0.5 * precision, loc * precision], dim=1).T.contiguous()
        self.constants = log_weights.double() - (
            log_scale + 0.5 * (loc.square() * precision + LOG_2PI)
        ).sum(1)

    @torch.no_grad()
    def log_pairs(self, z: Tensor) -> Tensor:
        """Return log w_j N(z_i; μ_j, σ_j²) in nats, float64 (n, m), for points z (n, dimensions)."""
        rows = z.double() - self.center
        return torch.addmm(
            self.constants, torch.cat([rows.square(), rows], dim=1), self.coefficients
        )

    @torch.no_grad()
    def log_prob(self, z: Tensor, columns: int = COLUMN_BLOCK) -> Tensor:
        """Return log Σ_j w_j N(z_i; μ_j, σ_j²) in nats, float64 (n,), for points z (n, dimensions).

        ``columns`` components are taken at once, which changes only memory, speed and rounding.
        """
        result = torch.empty(len(z), dtype=torch.float64, device=z.device)
        for start in range(0, len(z), ROW_BLOCK):
            rows = z[start : start + ROW_BLOCK].double() - self.center
            features = torch.cat([rows.square(), rows], dim=1)
            largest = torch.full((len(rows),), -torch.inf, dtype=torch.float64, device=z.device)
            total = torch.zeros_like(largest)
            for first in range(0, len(self.constants), columns):
                block = slice(first, first + columns)
                pairs = torch.addmm(self.constants[block], features, self.coefficients[:, block])
                higher = torch.maximum(largest, pairs.amax(1))
                exponents = pairs.sub_(higher[:, None]).float().clamp_(min=-80.0)
                # Up to 2048 numbers of at most 1: float32 sums them to 1e-6.
                total = total * (largest - higher).exp() + exponents.exp_().sum(1)
                largest = higher
            result[start : start + ROW_BLOCK] = largest + total.log()
        return result
