"""Log-densities of z with their gradients, as annealing needs them millions of times.

Priors that are mixtures have their gradient by two matrix products. One of very many components, such
as an aggregated posterior, would cost ten times the decoder; ``NearMixture`` has a datum's nearest
components alone.
"""

from math import sqrt

import torch
from torch import Tensor

from bench.densities.mixture_table import (
    COLUMN_BLOCK,
    EXPANSION_ERROR,
    SINGLE,
    MixtureTable,
)
from bench.densities.normal import DiagonalNormal, NormalMixture, standard_normal_log_prob
from bench.densities.priors import Density, StandardNormalDensity
from bench.estimators.annealing import ValueAndGradient, automatic

# Components that each datum keeps in the prior of its path, and draws of q(z|y) that choose them.
NEAREST, CHOOSING_DRAWS = 256, 8
# Points whose pairs with a block of components are computed at once.
ROWS = 512


def value_and_gradient(density: Density) -> ValueAndGradient:
    """Return a density's log-density with its gradient; of a mixture all components are summed."""
    if isinstance(density, StandardNormalDensity):
        return standard_normal
    if isinstance(density, NormalMixture):
        return WholeMixture(density.table)
    return automatic(density.log_prob)


def standard_normal(z: Tensor) -> tuple[Tensor, Tensor]:
    return standard_normal_log_prob(z), -z


def diagonal_normal(normal: DiagonalNormal) -> ValueAndGradient:
    """Return the log-density with its gradient of one normal distribution for each datum."""
    precision = (-2 * normal.log_scale).exp()
    return lambda z: (normal.log_prob(z), (normal.loc - z) * precision)


class WholeMixture:
    """log Σ_j w_j N(z; μ_j, diag σ_j²) and its gradient, over blocks of components.

    With φ = (z², z) a component's log-density is φ · c_j + constant_j, so that the gradient is that of φ
    times Σ_j r_j c_j, where r_j is the component's share of the density. Products are in float32 where
    that is accurate to 4e-4 nats, and in float64 otherwise.
    """

    def __init__(self, table: MixtureTable):
        self.center, self.common = table.center, table.common
        self.terms = table.coefficients, table.constants
        self.single = table.single
        self.sizes = table

    @torch.no_grad()
    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        rows = z.flatten(0, -2)
        parts = [self._of_rows(part) for part in rows.split(ROWS)]
        values, gradients = (torch.cat(field) for field in zip(*parts))
        return values.view(z.shape[:-1]).to(z.dtype), gradients.view(z.shape).to(z.dtype)

    def _of_rows(self, z: Tensor) -> tuple[Tensor, Tensor]:
        moved = z.double() - self.center
        # A common σ has its term with z² apart from the product.
        features = moved if self.common is not None else torch.cat([moved.square(), moved], 1)
        size = sqrt(features.shape[1] + 1) * self.sizes.size_of_pairs(z)
        # A negation, because the size may be NaN.
        coefficients, constants = self.single if size * SINGLE <= EXPANSION_ERROR else self.terms
        features = features.to(coefficients.dtype)
        largest = features.new_full((len(z), 1), -torch.inf)
        total, mean = torch.zeros_like(largest), torch.zeros_like(features)
        for first in range(0, len(constants), COLUMN_BLOCK):
            block = slice(first, first + COLUMN_BLOCK)
            pairs = torch.addmm(constants[block], features, coefficients[:, block])
            higher = torch.maximum(largest, pairs.amax(1, keepdim=True))
            shrunk, shares = (largest - higher).exp(), pairs.sub_(higher).exp_()
            total = total * shrunk + shares.sum(1, keepdim=True)
            mean = mean * shrunk + shares @ coefficients[:, block].T
            largest = higher
        value, slope = (largest + total.log())[:, 0], mean / total
        if self.common is not None:
            value = value - 0.5 * moved.square() @ self.common
            return value, slope - moved * self.common
        squares, linear = slope.chunk(2, 1)
        return value, 2 * moved * squares + linear


class NearMixture:
    """The part of a mixture that lies near each datum, unnormalized: at most the whole.

    A path may have any prior at both of its ends but the last: its weight exchanges it for the whole
    mixture, which is evaluated once for each chain. What is chosen only affects the spread of weights.

    Args:
        table: The mixture.
        posterior: q(z|y) of a block of data; draws of it choose each datum's components.
        draws: Those draws, (draws, batch, latent).
        nearest: How many components each datum keeps.
    """

    @torch.no_grad()
    def __init__(self, table: MixtureTable, draws: Tensor, nearest: int = NEAREST):
        shares = torch.stack([table.log_pairs(draw).softmax(1) for draw in draws]).mean(0)
        chosen = shares.topk(nearest, 1).indices
        loc, log_scale = table.loc[chosen], table.log_scale[chosen]
        # Relative to the data's own place, where float32 is accurate.
        self.center = draws.double().mean(0)
        moved, precision = loc - self.center[:, None], (-2 * log_scale).exp()
        self.coefficients = torch.cat([-0.5 * precision, moved * precision], 2).to(draws.dtype)
        self.transposed = self.coefficients.transpose(1, 2).contiguous()
        constants = table.normalizers[chosen] - 0.5 * (moved.square() * precision).sum(2)
        self.constants = constants[:, None].to(draws.dtype)

    @torch.no_grad()
    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        moved = (z - self.center.to(z.dtype)).transpose(0, 1)
        features = torch.cat([moved.square(), moved], 2)
        pairs = torch.baddbmm(self.constants, features, self.transposed)
        largest = pairs.amax(2, keepdim=True)
        shares = pairs.sub_(largest).exp_()
        total = shares.sum(2, keepdim=True)
        squares, linear = (shares @ self.coefficients).div_(total).chunk(2, 2)
        gradient = 2 * moved * squares + linear
        return (largest + total.log())[..., 0].T, gradient.transpose(0, 1)
