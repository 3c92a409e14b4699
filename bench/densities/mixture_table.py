"""The log-density of a mixture of very many diagonal normals, accurate and in bounded memory."""

from math import log, pi, sqrt
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from bench.system.devices import usable_gpu_memory

if TYPE_CHECKING:
    from bench.densities.normal import DiagonalNormal

# Points and components of one block of pairs on a CPU: 4 MB of float32, which fits into the cache.
ROW_BLOCK, COLUMN_BLOCK = 512, 2048
# The same on a GPU at most, which needs millions of pairs to be busy; and the bytes that one pair
# takes at most, with its temporaries, and the share of the free memory that a block may have.
GPU_ROW_BLOCK, GPU_COLUMN_BLOCK = 4096, 32_768
BYTES_OF_PAIR, SHARE_OF_MEMORY = 32, 0.25
# With fewer components, all computations are in float64.
FEW_COMPONENTS = 1024
# Largest likely rounding error, in nats, of expanded log-densities that are summed directly.
# Observed errors were three quarters of the bound in 1 dimension and a tenth of it in 40.
EXPANSION_ERROR = 4e-4
# Components this many nats below the largest are left out: n of them change the sum by n·e⁻⁴⁰.
NEGLIGIBLE = 40.0
# If more than this share of pairs are candidates, computing all pairs in float64 is faster.
MOST_CANDIDATES = 0.03
# Relative rounding errors of float32 and float64, and a size that is safe in float32.
SINGLE, DOUBLE, LARGEST_SINGLE = 2.0**-24, 2.0**-53, 1e30
# Size of a block of differences (points, components, dimensions) for a block of pairs: 32 MB on a CPU.
DIRECT_PER_PAIR = 4
# Lower bound of exponents, because exponentials that underflow are ten times slower. It adds at
# most m·e⁻⁸⁰ to a sum.
LOWEST = -80.0


class BlockSize(NamedTuple):
    """Points and components of one block of pairs. It affects memory, speed and rounding only."""

    rows: int = ROW_BLOCK
    columns: int = COLUMN_BLOCK


def block_size(device: torch.device) -> BlockSize:
    """Return the size of blocks on a device: a CPU's is that of its cache, a GPU's that of its memory."""
    return BlockSize() if device.type != "cuda" else gpu_block_size(usable_gpu_memory(device))


def gpu_block_size(usable: int) -> BlockSize:
    """Return the largest block of pairs that fits into a share of ``usable`` bytes; at least a CPU's."""
    rows, columns = GPU_ROW_BLOCK, GPU_COLUMN_BLOCK
    pairs = SHARE_OF_MEMORY * usable / BYTES_OF_PAIR
    while rows * columns > pairs and columns > COLUMN_BLOCK:
        columns //= 2
    while rows * columns > pairs and rows > ROW_BLOCK:
        rows //= 2
    return BlockSize(rows, columns)


class MixtureTable:
    """A mixture's parameters, prepared for blockwise log-densities.

    One matrix product, (z², z) · (−½σ⁻², μσ⁻²), gives the squared distances of a block of points
    and components. A bound on its rounding error decides how the mixture is summed:

    - If float32 is accurate to 4e-4 nats (posteriors are not narrow), its product is summed.
    - If it is not, the float32 product only selects the components that can contribute (all others
      are at least 40 nats below the largest, error included). Those few are computed directly in
      float64.
    - If too many components can contribute, or the mixture is small, the product is in float64.
    - If that is inaccurate too, all pairs are computed directly, which is slow and rarely needed.

    Components with the same σ, as in the exemplar prior, need half of the product: the term with z²
    is the same for all of them.

    The result is within 1e-3 nats of a direct float64 sum for every mixture. Memory is bounded by
    one block of pairs for any n and m.

    Args:
        components: m components, with ``loc`` and ``log_scale`` (m, dimensions).
        log_weights: Normalized log-weights, shape (m,).
    """

    @torch.no_grad()
    def __init__(self, components: "DiagonalNormal", log_weights: Tensor):
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
        """Return log w_j N(z_i; μ_j, σ_j²) in nats, float64 (n, m), of points z (n, dimensions)."""
        features, shared = self._features(z)
        return torch.addmm(self.constants, features, self.coefficients) + shared[:, None]

    @torch.no_grad()
    def log_prob(self, z: Tensor, size: BlockSize | None = None) -> Tensor:
        """Return log Σ_j w_j N(z_i; μ_j, σ_j²) in nats, float64 (n,), for points z (n, dimensions).

        ``size`` is that of a block of pairs; None is what suits the device.
        """
        size = size or block_size(z.device)
        parts = z.split(size.rows) if len(z) else ()
        blocks = [self._log_prob_of_rows(rows, size) for rows in parts]
        return torch.cat(blocks) if blocks else z.new_empty(0, dtype=torch.float64)

    def size_of_pairs(self, z: Tensor) -> float:
        """Return a bound on the sum of the summands' sizes in a log-density of points z (n, dimensions)."""
        length = (z.double() - self.center).square().sum(1).max().sqrt().item()
        return length**2 * self.sizes[0] + length * self.sizes[1] + self.sizes[2]

    def _features(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the points' factor of the product, and the term (n,) common to all components."""
        rows = z.double() - self.center
        if self.common is not None:
            return rows, -0.5 * rows.square() @ self.common
        return torch.cat([rows.square(), rows], dim=1), rows.new_zeros(len(rows))

    def _log_prob_of_rows(self, z: Tensor, block: BlockSize) -> Tensor:
        columns = block.columns
        features, shared = self._features(z)
        summands, size = len(self.coefficients) + 1, self.size_of_pairs(z)
        # The rounding error of a sum is at most proportional to its number of terms, and usually to
        # the root of that number (Higham & Mary 2019). The selection of candidates needs the first.
        largest, likely = summands * size, sqrt(summands) * size
        if len(self.constants) >= FEW_COMPONENTS and size < LARGEST_SINGLE:
            if likely * SINGLE <= EXPANSION_ERROR:
                return shared + log_sum_of_products(features.float(), *self.single, columns)
            margin = NEGLIGIBLE + 2 * largest * SINGLE
            candidates = self._candidates(features.float(), margin, columns)
            if candidates is not None:
                return self._sum_candidates(z.double(), *candidates)
        if likely * DOUBLE <= EXPANSION_ERROR:
            products = features, self.coefficients, self.constants, columns
            return shared + log_sum_of_products(*products)
        return self._sum_directly(z.double(), DIRECT_PER_PAIR * block.rows * block.columns)

    def _candidates(
        self, features: Tensor, margin: float, columns: int
    ) -> tuple[Tensor, Tensor] | None:
        """Return (points, components) of the pairs that can contribute; None if too many can."""
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

    def _sum_candidates(self, z: Tensor, points: Tensor, components: Tensor) -> Tensor:
        """Return the log-sum over the given pairs, at least one per point, computed directly."""
        standardized = (z[points] - self.loc[components]) * (-self.log_scale[components]).exp()
        pairs = self.normalizers[components] - 0.5 * standardized.square().sum(1)
        largest = pairs.new_full((len(z),), -torch.inf).scatter_reduce(0, points, pairs, "amax")
        total = pairs.new_zeros(len(z)).index_add_(0, points, (pairs - largest[points]).exp())
        return largest + total.log()

    def _sum_directly(self, z: Tensor, numbers: int) -> Tensor:
        """Return the log-sum over all pairs, computed directly in float64, ``numbers`` at a time."""
        scale = (-self.log_scale).exp()
        rows = max(1, numbers // self.loc.numel())
        parts = [
            self.normalizers - 0.5 * ((part[:, None] - self.loc) * scale).square().sum(2)
            for part in z.split(rows)
        ]
        return torch.cat([pairs.logsumexp(1) for pairs in parts])


def log_sum_of_products(
    features: Tensor, coefficients: Tensor, constants: Tensor, columns: int
) -> Tensor:
    """Return log Σ_j exp(constants_j + (features · coefficients)_ij), float64 (n,).

    Products are in the coefficients' precision, ``columns`` components at a time.
    """
    largest = features.new_full((len(features),), -torch.inf)
    total = torch.zeros_like(largest, dtype=torch.float64)
    for first in range(0, len(constants), columns):
        block = slice(first, first + columns)
        pairs = torch.addmm(constants[block], features, coefficients[:, block])
        higher = torch.maximum(largest, pairs.amax(1))
        exponents = pairs.sub_(higher[:, None]).float().clamp_(min=LOWEST)
        # Up to 32,768 numbers of at most 1, added in a tree: their float32 sum is accurate to 1e-6.
        total = total * (largest - higher).double().exp() + exponents.exp_().sum(1)
        largest = higher
    return largest.double() + total.log()
