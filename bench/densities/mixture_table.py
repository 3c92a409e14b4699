"""The log-density of a mixture of very many diagonal normals: exact, blockwise, fast."""

from math import log, pi, sqrt
from typing import Any

import torch
from torch import Tensor

# Pairs of one block: 4 MB of float32, which stays in the cache.
ROW_BLOCK, COLUMN_BLOCK = 512, 2048
# With fewer components than this, all is done in float64.
FEW_COMPONENTS = 1024
# Largest error, in nats, that an expanded log-density may have to be summed as it is. It bounds what
# rounding is likely to do: found were three quarters of it in 1 dimension, a tenth in 40.
EXPANSION_ERROR = 4e-4
# Components this many nats below the largest are left out: n of them add n·e⁻⁴⁰ of it.
NEGLIGIBLE = 40.0
# Share of pairs worth looking at again, above which forming all of them in float64 is faster.
MOST_CANDIDATES = 0.03
# Relative rounding errors of float32 and float64, and what float32 can hold with room to spare.
SINGLE, DOUBLE, LARGEST_SINGLE = 2.0**-24, 2.0**-53, 1e30
# Numbers of the difference (points, components, dimensions) that are formed at once: 32 MB.
DIRECT_BLOCK = 2**22
# Exponentials that underflow are an order of magnitude slower; m·e⁻⁸⁰ is added at most.
LOWEST = -80.0


class MixtureTable:
    """What the blockwise log-density of a mixture needs of its components, computed once.

    The squared distances of a block of points and components are one matrix product,
    (z², z) against (−½σ⁻², μσ⁻²), of which three ways are made, by a bound on its rounding error:

    - where float32 is right to 4e-4 nats (posteriors that are not narrow), its exponentials are
      summed as they are;
    - where it is not, float32 only tells which components can matter (all others are e⁻⁴⁰ below the
      largest, error included), and those few are formed directly, in float64;
    - where too many could matter, or the mixture is small, the product itself is in float64;
    - where that too would cancel, all pairs are formed directly, which is slow and seldom.

    Components of one width, as the exemplar prior has, need half of the product: the term with z² is
    the same for all of them.

    Within 1e-3 nats of a direct float64 sum for every mixture, in memory that is bounded by one block
    of pairs, whatever n and m.

    Args:
        components: m components, with ``loc`` and ``log_scale`` (m, dimensions).
        log_weights: Normalized log-weights, shape (m,).
    """

    @torch.no_grad()
    def __init__(self, components: Any, log_weights: Tensor):
        self.loc, self.log_scale = components.loc.double(), components.log_scale.double()
        self.center = self.loc.mean(0)
        loc = self.loc - self.center
        precision = (-2 * self.log_scale).exp()
        self.normalizers = log_weights.double() - self.log_scale.sum(1)
        self.normalizers -= 0.5 * loc.shape[1] * log(2 * pi)
        self.common = precision[0] if (precision == precision[0]).all() else None
        parts = (
            [loc * precision] if self.common is not None else [-0.5 * precision, loc * precision]
        )
        self.coefficients = torch.cat(parts, dim=1).T.contiguous()
        self.constants = self.normalizers - 0.5 * (loc.square() * precision).sum(1)
        self.single = self.coefficients.float(), self.constants.float()
        # |summands of the product| ≤ |z|² · largest precision / 2 + |z| · |μσ⁻²| + |constant|.
        sizes = torch.stack(
            [
                0.5 * precision.max() * (self.common is None),
                (loc * precision).square().sum(1).max().sqrt(),
                self.constants.abs().max(),
            ]
        )
        self.sizes = sizes.tolist()

    @torch.no_grad()
    def log_pairs(self, z: Tensor) -> Tensor:
        """Return log w_j N(z_i; μ_j, σ_j²) in nats, float64 (n, m), for points z (n, dimensions)."""
        features, shared = self._features(z)
        return torch.addmm(self.constants, features, self.coefficients) + shared[:, None]

    @torch.no_grad()
    def log_prob(self, z: Tensor, columns: int = COLUMN_BLOCK) -> Tensor:
        """Return log Σ_j w_j N(z_i; μ_j, σ_j²) in nats, float64 (n,), for points z (n, dimensions).

        ``columns`` components are taken at once, which changes only memory, speed and rounding.
        """
        parts = z.split(ROW_BLOCK) if len(z) else ()
        blocks = [self._log_prob_of_rows(rows, columns) for rows in parts]
        return torch.cat(blocks) if blocks else z.new_empty(0, dtype=torch.float64)

    def _features(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the points' side of the product, and what it leaves out, (n,): alike for all components."""
        rows = z.double() - self.center
        if self.common is not None:
            return rows, -0.5 * rows.square() @ self.common
        return torch.cat([rows.square(), rows], dim=1), rows.new_zeros(len(rows))

    def _log_prob_of_rows(self, z: Tensor, columns: int) -> Tensor:
        features, shared = self._features(z)
        summands = len(self.coefficients) + 1
        length = features[:, -z.shape[1] :].square().sum(1).max().sqrt().item()
        size = length**2 * self.sizes[0] + length * self.sizes[1] + self.sizes[2]
        # Rounding errors of a sum: at most proportional to its number of terms, and in practice to
        # the root of that (Higham & Mary 2019). The first must never be wrong.
        surely, likely = summands * size, sqrt(summands) * size
        if len(self.constants) >= FEW_COMPONENTS and size < LARGEST_SINGLE:
            if likely * SINGLE <= EXPANSION_ERROR:
                return shared + self._summed(features.float(), *self.single, columns)
            margin = NEGLIGIBLE + 2 * surely * SINGLE
            candidates = self._candidates(features.float(), margin, columns)
            if candidates is not None:
                return self._formed(z.double(), *candidates)
        if likely * DOUBLE <= EXPANSION_ERROR:
            return shared + self._summed(features, self.coefficients, self.constants, columns)
        return self._direct(z.double())

    def _summed(
        self, features: Tensor, coefficients: Tensor, constants: Tensor, columns: int
    ) -> Tensor:
        """Sum the exponentials of all pairs, formed in the precision of the coefficients."""
        largest = features.new_full((len(features),), -torch.inf)
        total = torch.zeros_like(largest, dtype=torch.float64)
        for first in range(0, len(constants), columns):
            block = slice(first, first + columns)
            pairs = torch.addmm(constants[block], features, coefficients[:, block])
            higher = torch.maximum(largest, pairs.amax(1))
            exponents = pairs.sub_(higher[:, None]).float().clamp_(min=LOWEST)
            # Up to 2048 numbers of at most 1: float32 sums them to 1e-6.
            total = total * (largest - higher).double().exp() + exponents.exp_().sum(1)
            largest = higher
        return largest.double() + total.log()

    def _candidates(
        self, features: Tensor, margin: float, columns: int
    ) -> tuple[Tensor, Tensor] | None:
        """Return (points, components) of the pairs that can matter; None if they are too many."""
        coefficients, constants = self.single
        largest = features.new_full((len(features),), -torch.inf)
        points, components, left = [], [], MOST_CANDIDATES * len(features) * len(constants)
        for first in range(0, len(constants), columns):
            block = slice(first, first + columns)
            pairs = torch.addmm(constants[block], features, coefficients[:, block])
            largest = torch.maximum(largest, pairs.amax(1))
            point, component = (pairs >= (largest - margin)[:, None]).nonzero(as_tuple=True)
            points.append(point)
            components.append(component + first)
            left -= len(point)
            if left < 0:
                return None
        return torch.cat(points), torch.cat(components)

    def _formed(self, z: Tensor, points: Tensor, components: Tensor) -> Tensor:
        """Sum over the pairs named, each formed directly in float64; each point has one or more."""
        standardized = (z[points] - self.loc[components]) * (-self.log_scale[components]).exp()
        pairs = self.normalizers[components] - 0.5 * standardized.square().sum(1)
        largest = pairs.new_full((len(z),), -torch.inf).scatter_reduce(0, points, pairs, "amax")
        total = pairs.new_zeros(len(z)).index_add_(0, points, (pairs - largest[points]).exp())
        return largest + total.log()

    def _direct(self, z: Tensor) -> Tensor:
        """Sum over all pairs, each formed directly in float64."""
        scale = (-self.log_scale).exp()
        rows = max(1, DIRECT_BLOCK // self.loc.numel())
        parts = [
            self.normalizers - 0.5 * ((part[:, None] - self.loc) * scale).square().sum(2)
            for part in z.split(rows)
        ]
        return torch.cat([pairs.logsumexp(1) for pairs in parts])
