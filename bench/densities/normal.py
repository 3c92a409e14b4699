"""Diagonal normal distributions, and mixtures of them, in nats."""

from dataclasses import dataclass
from functools import cached_property
from math import log, pi, prod

import torch
from torch import Tensor

from bench.densities.mixture_table import MixtureTable
from bench.densities.near_components import FEWEST_COMPONENTS, FEWEST_DRAWS, NearComponents
from bench.noise import Noise, cumulative

LOG_2PI = log(2 * pi)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """Return log N(z; 0, I) in nats, summed over the last dimension."""
    return -0.5 * (z.square() + LOG_2PI).sum(-1)


@dataclass(frozen=True)
class DiagonalNormal:
    """A batch of normal distributions with diagonal covariance.

    ``loc`` and ``log_scale`` (log standard deviation) have shape (batch, dimensions).

    Examples:
        >>> q = DiagonalNormal(torch.zeros(1, 2), torch.zeros(1, 2))
        >>> q.log_prob(torch.zeros(3, 1, 2)).shape  # three samples of one datum
        torch.Size([3, 1])
        >>> q.kl_to_standard_normal()
        tensor([0.])
    """

    loc: Tensor
    log_scale: Tensor

    @cached_property
    def scale(self) -> Tensor:
        """The standard deviations, shape (batch, dimensions)."""
        return self.log_scale.exp()

    def sample(self, noise: Noise, samples: int) -> Tensor:
        """Draw (samples, batch, dimensions) by reparameterization."""
        return torch.addcmul(self.loc, self.scale, noise.normal(samples, *self.loc.shape))

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log-densities in nats of z (..., batch, dimensions), shape (..., batch)."""
        standardized = (z - self.loc) * (-self.log_scale).exp()
        return standard_normal_log_prob(standardized) - self.log_scale.sum(-1)

    def kl_to_standard_normal(self) -> Tensor:
        """Return KL(this ‖ N(0, I)) in nats, shape (batch,)."""
        squares = (self.scale.square() + self.loc.square()).sum(-1)
        return 0.5 * (squares - self.loc.shape[-1]) - self.log_scale.sum(-1)

    def double(self) -> "DiagonalNormal":
        """Return the same in float64."""
        return DiagonalNormal(self.loc.double(), self.log_scale.double())


@dataclass(frozen=True)
class NormalMixture:
    """A mixture of diagonal normals; ``log_weights`` has shape (components,), normalized.

    ``excluded``, of shape (batch, components), removes components for each datum and renormalizes
    the others: the leave-one-out density of an aggregated posterior.
    """

    components: DiagonalNormal
    log_weights: Tensor
    excluded: Tensor | None = None

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log-densities in nats of z (..., batch, dimensions), shape (..., batch).

        With gradients, all pairs are computed at once. Without them, the sum is blockwise, in
        bounded memory, and the result is float64. On a CPU, many draws of each datum are summed over
        the components near them.
        """
        if not torch.is_grad_enabled() and self.excluded is None:
            if z.device.type == "cpu" and self.has_many(z):
                return self.near.log_prob(z.flatten(0, -3)).view(z.shape[:-1])
            return self.table.log_prob(z.flatten(0, -2)).view(z.shape[:-1])
        pairs = self.pairs(z)
        if self.excluded is None:
            return pairs.logsumexp(-1).to(z.dtype)
        remaining = self.log_weights.masked_fill(self.excluded, -torch.inf).logsumexp(-1)
        return (pairs.masked_fill(self.excluded, -torch.inf).logsumexp(-1) - remaining).to(z.dtype)

    def pairs(self, z: Tensor) -> Tensor:
        """Return log w_k N(z; μ_k, σ_k) of z (..., batch, dimensions), shape (..., batch, components).

        (z − μ)²/σ² = z²/σ² − 2 z μ/σ² + μ²/σ² is computed by matrix products, not by a tensor of
        all pairs and dimensions. They are in float64, because the terms cancel if σ is small.
        """
        z, loc, log_scale = z.double(), self.components.loc.double(), self.components.log_scale
        log_scale = log_scale.double()
        precision = (-2 * log_scale).exp()
        constant = standard_normal_log_prob(loc * (-log_scale).exp()) - log_scale.sum(-1)
        products = z @ (loc * precision).T - 0.5 * (z.square() @ precision.T)
        return products + constant + self.log_weights

    @cached_property
    def table(self) -> MixtureTable:
        """The parameters, prepared for blockwise log-densities."""
        return MixtureTable(self.components, self.log_weights)

    @cached_property
    def near(self) -> NearComponents:
        """The same, prepared for many draws of each datum."""
        return NearComponents(self.table)

    def has_many(self, z: Tensor) -> bool:
        """Return whether there are many components, and many draws z (..., batch, dimensions) of a datum."""
        many_draws = prod(z.shape[:-2]) >= FEWEST_DRAWS
        return many_draws and len(self.log_weights) >= FEWEST_COMPONENTS

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draw (n, dimensions): for each, a component by its weight, and then a sample of it."""
        position = noise.uniform(n, 1).double()[:, 0]
        sums = cumulative(self.log_weights.double().exp(), 0)
        chosen = torch.searchsorted(sums / sums[-1], position, right=True)
        chosen = chosen.clamp(max=len(sums) - 1)
        drawn = DiagonalNormal(self.components.loc[chosen], self.components.log_scale[chosen])
        return drawn.sample(noise, 1)[0]


def uniform_mixture(components: DiagonalNormal) -> NormalMixture:
    """Return the mixture of all m components with weights 1/m."""
    m = len(components.loc)
    weights = torch.full((m,), -log(m), dtype=torch.float64, device=components.loc.device)
    return NormalMixture(components, weights)
