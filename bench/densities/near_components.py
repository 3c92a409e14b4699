"""Log-densities of many draws of each datum under a mixture of very many diagonal normals.

The draws of one datum lie close together, and most components are negligible at all of them. A bound
over the region of the draws, computed once for each datum, finds the others.
"""

from functools import cached_property
from itertools import combinations_with_replacement
from math import log, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from bench.densities.mixture_table import (
    COLUMN_BLOCK,
    DOUBLE,
    EXPANSION_ERROR,
    SINGLE,
    MixtureTable,
    log_sum_of_products,
)

# With fewer draws of a datum, or fewer components, the full sum is faster.
FEWEST_DRAWS, FEWEST_COMPONENTS = 100, 4096
# Largest share of a draw's density that the components left out may have. It changes the log-density
# by as many nats.
LEFT_OUT = 5e-4
# Components this many nats below the largest, at the mean of the draws, do not enter the reference.
FAR_FROM_LARGEST = 10.0
# One of this many draws, the farthest from the mean, is summed over all components, because the
# region of the others is smaller. So are all draws of a datum whose region reaches a larger share of
# the components than this.
FARTHEST_ONE_OF, LARGEST_SHARE = 500, 0.25
# Pairs of data and components that are bounded at once (16 MB of float64), and draws of similar
# radius that are summed over the same components.
PAIRS, DRAWS_AT_ONCE = 2**21, 128
# Weight of a feature in which components do not differ, relative to the largest: it must not be 0.
SMALLEST_WEIGHT = 1e-4


class Region(NamedTuple):
    """The draws of n data, and the components' log-densities as functions of a standardized draw.

    Let ε = (z − mean) / scale and φ = (ε, ε² − 1), or φ = ε if all components have the same σ. Then
    log w_c N(z; μ_c, σ_c²) = log r(z) + offset_c + φ · slope_c. The reference log r(z) is the mean
    of the nearest components' log-densities, less the logarithms of their weights in this mean. By
    Jensen's inequality it is at most the mixture's log-density.

    A slope is ``matrix`` times the component's coefficients, which are those of ``MixtureTable``,
    less ``constant``. There are p parts of the coefficients, and of φ: 2, or 1 for a common σ.

    Attributes:
        mean, scale: Of the draws of a datum, (n, dimensions).
        height: log r at the mean, (n,).
        matrix: From coefficients to slopes, (n, p of φ, p of the coefficients, dimensions).
        constant: The mean of the nearest components' products with it, (n, p, dimensions).
        weights: Positive weights of φ's dimensions, (n, p, dimensions).
        offsets: offset_c, (n, components).
        steepness: ‖slope_c / √weights‖, (n, components), rounded up.
    """

    mean: Tensor
    scale: Tensor
    height: Tensor
    matrix: Tensor
    constant: Tensor
    weights: Tensor
    offsets: Tensor
    steepness: Tensor


class NearComponents:
    """A mixture, prepared for the log-densities of many draws of each datum.

    By the Cauchy–Schwarz inequality, a component is at most offset + radius · steepness nats above
    the reference of ``Region``, where a draw's radius is ‖φ √weights‖. Components for which this is
    below a threshold are left out. The threshold depends on their number, so that their sum is at
    most 5e-4 of the reference, and therefore of the density. The bound holds for any draws. If they
    do not lie close together, it leaves out little, and the full sum is taken.

    The result is within 1e-3 nats of a direct float64 sum. Memory is bounded by a block of pairs of
    data and components, and by the components of one datum.

    Args:
        table: The mixture.
    """

    def __init__(self, table: MixtureTable):
        self.table = table
        self.parts = 1 if table.common is not None else 2
        # The coefficients of one component side by side, for reading those of a few components.
        self.rows = table.coefficients.T.contiguous()

    @torch.no_grad()
    def log_prob(self, z: Tensor) -> Tensor:
        """Return log Σ_j w_j N(z; μ_j, σ_j²) in nats, float64 (draws, n), of z (draws, n, dimensions)."""
        result = z.new_empty(z.shape[:2], dtype=torch.float64)
        is_left = torch.ones(z.shape[:2], dtype=torch.bool, device=z.device)
        at_once = max(1, PAIRS // len(self.table.constants))
        for start in range(0, z.shape[1], at_once):
            block = z[:, start : start + at_once].double()
            regions = self._regions(block)
            if regions is None:
                continue
            for row in range(block.shape[1]):
                region = Region(*(field[row] for field in regions))
                draws, values = self._near_sum(block[:, row], region)
                result[draws, start + row], is_left[draws, start + row] = values, False
        result[is_left] = self.table.log_prob(z[is_left])
        return result

    def _regions(self, z: Tensor) -> Region | None:
        """Return the regions of draws z (draws, n, dimensions); None if float64 is too inaccurate."""
        table = self.table
        mean, scale = z.mean(0), z.std(0).clamp(min=1e-30)
        size = table.size_of_pairs(z.flatten(0, 1))
        rounding = sqrt(len(table.coefficients) + 1) * size * DOUBLE
        # A negation, because the size may be NaN.
        if not rounding <= 0.01 * EXPANSION_ERROR:
            return None
        offsets = table.log_pairs(mean)
        height, center = self._reference(offsets)
        matrix = scale[:, None, None]
        if self.parts == 2:
            position = mean - table.center
            of_mean = torch.stack([2 * position * scale, scale], 1)
            of_squares = torch.stack([scale.square(), torch.zeros_like(scale)], 1)
            matrix = torch.stack([of_mean, of_squares], 1)
        constant = (matrix * center[:, None]).sum(2)
        offsets -= height[:, None]
        if self.parts == 2:
            offsets.addmm_(scale.square(), table.coefficients[: len(table.center)])
            offsets -= constant[:, 1].sum(1, keepdim=True)
        weights, steepness = self._steepness(matrix, constant)
        return Region(mean, scale, height, matrix, constant, weights, offsets, steepness)

    def _reference(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reference's height (n,), and its coefficients (n, parts, dimensions)."""
        heights, centers = [], []
        for row in pairs:
            nearest = (row >= row.max() - FAR_FROM_LARGEST).nonzero()[:, 0]
            heights.append(row[nearest].logsumexp(0))
            centers.append(row[nearest].softmax(0) @ self.rows[nearest])
        return torch.stack(heights), torch.stack(centers).unflatten(1, (self.parts, -1))

    def _steepness(self, matrix: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights of a region, and the components' steepness.

        A squared slope is a polynomial in the component's coefficients, so that a matrix product
        gives the sums of all of them.
        """
        linear = -2 * constant[:, :, None] * matrix
        squares = [
            (1 if one == other else 2) * matrix[:, :, one] * matrix[:, :, other]
            for one, other in combinations_with_replacement(range(self.parts), 2)
        ]
        factors = torch.stack([*linear.unbind(2), *squares], 1)
        means, largest = self._moments
        mean_squares = (factors * means[:, None]).sum(1) + constant.square()
        # These weights make the product of both factors' mean squares least; E (ε² − 1)² is 2.
        weights = mean_squares.clamp(min=0).sqrt()
        weights[:, 1:] /= sqrt(2)
        weights /= weights.amax((1, 2), keepdim=True).clamp(min=1e-300)
        weights += SMALLEST_WEIGHT
        rest = (constant.square() / weights).sum((1, 2))
        sizes = (factors.abs() / weights[:, None]).sum(2)
        factors = (factors / weights[:, None]).sum(2).flatten(1)
        rounding = (factors.shape[1] + 2) * DOUBLE * ((sizes * largest).sum((1, 2)) + rest)
        rest = rest + 2 * rounding
        blocks = self.table.coefficients.split(COLUMN_BLOCK, 1)
        squares_of = [
            torch.addmm(rest[:, None], factors, self._monomials(block)) for block in blocks
        ]
        return weights, torch.cat(squares_of, 1).clamp_(min=1e-30).sqrt_()

    def _monomials(self, coefficients: Tensor) -> Tensor:
        """Return the coefficients and their products by two, (monomials · dimensions, components)."""
        parts = coefficients.chunk(self.parts)
        return torch.cat(
            [*parts, *(one * other for one, other in combinations_with_replacement(parts, 2))]
        )

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """The mean of each monomial over the components, and its largest size, (monomials, dimensions)."""
        sums, sizes = [], []
        for block in self.table.coefficients.split(COLUMN_BLOCK, 1):
            monomials = self._monomials(block)
            sums.append(monomials.sum(1))
            sizes.append(monomials.abs().amax(1))
        mean = torch.stack(sums).sum(0) / len(self.table.constants)
        shape = -1, len(self.table.center)
        return mean.view(shape), torch.stack(sizes).amax(0).view(shape)

    def _near_sum(self, z: Tensor, region: Region) -> tuple[Tensor, Tensor]:
        """Return which draws z (draws, dimensions) of a datum are summed, and their log-densities."""
        standardized = (z - region.mean) / region.scale
        features = torch.stack([standardized, standardized.square() - 1][: self.parts], 1)
        radii = (features.square() * region.weights).sum((1, 2)).sqrt() * (1 + 1e-9)
        radii, order = radii.sort()
        kept = len(order) - len(order) // FARTHEST_ONE_OF
        radii, order, features = radii[:kept], order[:kept], features[order[:kept]].flatten(1)
        # Draws that are summed over the same components, and the largest radius of each part.
        parts = features.split(DRAWS_AT_ONCE)
        reached = radii[[*range(DRAWS_AT_ONCE - 1, kept - 1, DRAWS_AT_ONCE), kept - 1]]
        near, counts = self._within(region, reached)
        terms = self._terms_of(near, region, reached[-1]) if counts else None
        if terms is None:
            return order[:0], radii[:0]
        slopes, offsets = terms
        sums = [
            log_sum_of_products(
                part.to(slopes.dtype), slopes[:, :count], offsets[:count], COLUMN_BLOCK
            )
            for part, count in zip(parts, counts)
        ]
        return order, self._reference_of(features, region) + torch.cat(sums)

    def _within(self, region: Region, radii: Tensor) -> tuple[Tensor, list[int]]:
        """Return components (m,), and how many of the first of them suffice within each radius.

        Radii are ascending. There are none if the last reaches too many components.
        """
        last, count = radii[-1], len(region.offsets)
        bounds = torch.addcmul(region.offsets, region.steepness, last)
        near = (bounds > log(LEFT_OUT / 2 / count)).nonzero()[:, 0]
        if not 0 < len(near) <= LARGEST_SHARE * count:
            return near[:0], []
        # Those left out so far are at most LEFT_OUT / 2 in all. The others are in the order of the
        # radius from which on they matter, so that those left out later are a tail.
        offsets, steepness = region.offsets[near], region.steepness[near]
        order = ((log(LEFT_OUT / 2 / len(near)) - offsets) / steepness).argsort()
        bounds = torch.addcmul(offsets[order], steepness[order], radii[:, None])
        tails = bounds.exp_().flip(1).cumsum(1)
        counts = len(near) - (tails <= LEFT_OUT / 2).sum(1)
        return near[order[: counts[-1]]], counts.clamp_(min=1).tolist()

    def _terms_of(
        self, near: Tensor, region: Region, radius: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """Return slopes and offsets of components, as accurate as needed; None if that is impossible."""
        offsets, parts = region.offsets[near], self.rows[near].unflatten(1, (self.parts, -1))
        slopes = -region.constant.expand(len(near), -1, -1)
        for part, factors in zip(parts.split(1, 1), region.matrix.unbind(1)):
            slopes.addcmul_(part, factors)
        slopes = slopes.flatten(1).T
        size = (offsets.abs() + radius * region.steepness[near]).max().item()
        rounding = sqrt(len(slopes) + 1) * size
        if rounding * SINGLE <= EXPANSION_ERROR:
            return slopes.float(), offsets.float()
        return (slopes, offsets) if rounding * DOUBLE <= EXPANSION_ERROR else None

    def _reference_of(self, features: Tensor, region: Region) -> Tensor:
        """Return log r of draws with these features (draws, …), float64 (draws,)."""
        value = region.height + features @ region.constant.flatten()
        if self.table.common is None:
            return value + region.constant[1].sum()
        # The term with z², which is the same for all components.
        moved = region.scale * features
        position = region.mean - self.table.center
        return value - (moved * (position + 0.5 * moved)) @ self.table.common
