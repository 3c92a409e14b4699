"""What K importance weights say: the log of their mean, its error, and whether a few carry the sum.

The logarithm of a mean of K weights is an estimate of its own expectation E[L_K], a lower bound of
log P(y). Errors here are errors of that estimate. They do not contain the distance of E[L_K] from
log P(y), which no sample of weights reveals; the rise from K/2 to K draws is a hint of its size.
"""

from math import ceil, log, log10, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

# Numbers in one temporary: 32 MB in float64.
MOST_NUMBERS = 2**22
# The same in the fit of tails: 1 MB, which fits into the cache.
MOST_NUMBERS_OF_FIT = 2**17
# With fewer weights in the tail no generalized Pareto distribution is fitted to it.
LEAST_TAIL = 5
# Zhang & Stephens 2009, section 4: where the grid of the fit lies.
GRID_SHARE = 3
# Vehtari et al. 2024, appendix C: the prior of k̂ counts as this many weights at 0.5.
PRIOR_WEIGHTS, PRIOR_K = 10, 0.5
# A generalized Pareto distribution of a shape nearer to 0 than this is exponential to rounding.
SMALL_SHAPE = 1e-8


class WeightedBound(NamedTuple):
    """L_K of each datum of a block with its diagnostics, float64 of shape (batch,).

    Attributes:
        value: L_K = log 1/K Σ w_k, in nats.
        variance: Jackknife variance of ``value`` over the draws, in nats²; NaN for K = 1. Its expectation
            is at least (K − 1)/K times the variance of L_{K−1} (Efron & Stein 1981). So it is right or
            too large for large K (up to 1.3 times the variance, where one weight is the sum) and too
            small for K below 10 (half of the variance for K = 2 and heavy tails). For a single datum
            whose effective sample size is near 1 it may be far off, so use it in means over many data.
        effective_sample_size: (Σ w)² / Σ w², between 1 and K.
        pareto_k: Shape k̂ of the tail of the weights; see ``pareto_smoothed``.
        smoothed_variance: The jackknife variance of the weights with a smoothed tail, in nats²; NaN for
            K below 21. It is smaller than ``variance`` by a factor of about two where tails are heavy,
            but hardly depends on whether a rare large weight was drawn. So it tells by which data the
            error is made.
        rise: L_K less the mean of L_{K/2} of the two halves of the same draws, in nats; never below
            0. NaN for K = 1.
    """

    value: Tensor
    variance: Tensor
    effective_sample_size: Tensor
    pareto_k: Tensor
    smoothed_variance: Tensor
    rise: Tensor


def weighted_bound(log_weights: Tensor) -> WeightedBound:
    """Return L_K and its diagnostics for log-weights (K, batch), in nats.

    Examples:
        >>> bound = weighted_bound(torch.zeros(100, 1))  # equal weights
        >>> bound.value.item(), bound.effective_sample_size.item(), bound.rise.item()
        (0.0, 100.0, 0.0)
    """
    columns = max(1, MOST_NUMBERS // max(1, len(log_weights)))
    parts = [_bound_of_columns(part) for part in log_weights.split(columns, dim=1)]
    return WeightedBound(*(torch.cat(field) for field in zip(*parts)))


def log_mean_exp(log_weights: Tensor) -> Tensor:
    """Return log 1/K Σ_k exp(w_k) of log-weights (K, batch), float64 (batch,)."""
    return log_weights.double().logsumexp(0) - log(len(log_weights))


def _bound_of_columns(log_weights: Tensor) -> WeightedBound:
    k = len(log_weights)
    log_weights = log_weights.double()
    total = log_weights.logsumexp(0)
    shares = (log_weights - total).exp()
    size = 1 / shares.square().sum(0)
    value = total - log(k)
    nothing = torch.full_like(value, torch.nan)
    if k == 1:
        return WeightedBound(value, nothing, size, nothing, nothing, nothing)
    halves = log_weights[: k // 2], log_weights[k // 2 :]
    # Weighted by the halves' lengths, so that an odd K cannot make the rise negative.
    before = sum((len(half) / k * log_mean_exp(half) for half in halves), torch.zeros_like(value))
    shape, smoothed = pareto_smoothed(log_weights)
    return WeightedBound(
        value=value,
        variance=jackknife_variance(log_without_each(log_weights, total, shares)),
        effective_sample_size=size,
        pareto_k=shape,
        smoothed_variance=nothing if smoothed is None else bound_variance(smoothed),
        rise=(value - before).clamp(min=0),
    )


def bound_variance(log_weights: Tensor) -> Tensor:
    """Return the jackknife variance of L_K of log-weights (K, batch), K ≥ 2, in nats²."""
    total = log_weights.logsumexp(0)
    return jackknife_variance(log_without_each(log_weights, total, (log_weights - total).exp()))


def log_without_each(log_weights: Tensor, total: Tensor, shares: Tensor) -> Tensor:
    """Return log Σ_{j≠k} w_j − log Σ_j w_j of each draw k, shape (K, batch).

    Args:
        log_weights: log w (K, batch).
        total: log Σ w (batch,).
        shares: w / Σ w (K, batch).
    """
    change = torch.log1p(-shares.clamp(max=0.5))
    # A share near 1 has lost the digits of what the others have, so their sum is taken anew.
    place = log_weights.argmax(0)[None]
    others = log_weights.scatter(0, place, -torch.inf).logsumexp(0) - total
    return change.scatter(0, place, others[None])


def jackknife_variance(changes: Tensor) -> Tensor:
    """Return (K − 1)/K Σ_k (θ_(k) − mean of θ)², θ_(k) the estimate without draw k (Efron & Stein 1981).

    Args:
        changes: θ_(k) up to a constant of each datum, shape (K, batch).
    """
    return changes.var(0, correction=0) * (len(changes) - 1)


def tail_length(samples: int) -> int:
    """Return how many of K weights are the tail: min(K/5, 3 √K), rounded up (Vehtari et al. 2024)."""
    return ceil(min(samples / 5, 3 * sqrt(samples)))


def pareto_threshold(samples: int) -> float:
    """Return the k̂ from which K weights are too few: min(1 − 1/log₁₀ K, 0.7) (Vehtari et al. 2024)."""
    return min(1 - 1 / log10(samples), 0.7)


def pareto_smoothed(log_weights: Tensor) -> tuple[Tensor, Tensor | None]:
    """Fit the tail of K weights and smooth it (Vehtari et al. 2024, Pareto smoothed importance sampling).

    A generalized Pareto distribution is fitted to the largest weights, less the largest of the
    others, by the method of Zhang & Stephens (2009), with the weak prior of Vehtari et al. From
    shape k = 0.5 on the weights have no variance, from 1 on no mean. The smoothed weights of the tail
    are quantiles of that distribution. Unlike Vehtari et al. they are not cut off at the largest
    weight: they serve for the size of errors and not for estimates.

    Args:
        log_weights: Log-weights (K, batch), float64.

    Returns:
        k̂ of each datum (batch,): NaN if K is below 21, where the tail has fewer than five weights;
        −∞ where the weights of the tail are all equal, because then there is none; ∞ where they span
        too many orders of magnitude to be fitted. And the smoothed log-weights (K, batch), None if K
        is below 21; tails that are not fitted, or with ties at their threshold, stay as they are.
    """
    count = tail_length(len(log_weights))
    if count < LEAST_TAIL:
        return torch.full_like(log_weights[0], torch.nan), None
    largest, places = log_weights.topk(count + 1, dim=0)
    largest, places = largest.flip(0), places.flip(0)  # ascending
    scaled = (largest - largest[-1]).exp()
    excess = scaled[1:] - scaled[0]
    is_tail = excess[0] > 0
    # Ties at the threshold are no excess; a tail that has some is fitted without them.
    shape = torch.full_like(log_weights[0], -torch.inf)
    tail = largest[1:].clone()
    if is_tail.any():
        fitted, scale = _generalized_pareto(excess[:, is_tail])
        quantiles = _log_pareto_quantiles(count, fitted, scale)
        least = (largest[0] - largest[-1])[is_tail]
        smoothed = largest[-1, is_tail] + torch.logaddexp(quantiles, least)
        # Tails over hundreds of nats leave the range of float64: heavier than any that is fitted.
        is_fitted = fitted.isfinite() & smoothed.isfinite().all(0)
        shape[is_tail] = torch.where(is_fitted, fitted, torch.inf)
        tail[:, is_tail] = torch.where(is_fitted, smoothed, tail[:, is_tail])
    for datum in ((~is_tail) & (excess[-1] > 0)).nonzero()[:, 0].tolist():
        own = excess[:, datum]
        own = own[own > 0]
        if len(own) >= LEAST_TAIL:
            shape[datum] = _generalized_pareto(own[:, None])[0][0].nan_to_num(torch.inf)
        else:
            shape[datum] = torch.inf
    return shape, log_weights.scatter(0, places[1:], tail)


def _log_pareto_quantiles(count: int, shape: Tensor, scale: Tensor) -> Tensor:
    """Return the logs of a generalized Pareto distribution's quantiles at (i − ½)/count, (count, batch)."""
    shares = (torch.arange(count, dtype=shape.dtype, device=shape.device) + 0.5) / count
    shape = torch.where(shape.abs() < SMALL_SHAPE, SMALL_SHAPE, shape)
    # σ/k (exp(x) − 1), of which the exponential may be too large for a float.
    x = -shape * torch.log1p(-shares)[:, None]
    return (scale / shape).abs().log() + x.clamp(min=0) + torch.log(-torch.expm1(-x.abs()))


def _generalized_pareto(excess: Tensor) -> tuple[Tensor, Tensor]:
    """Return shape and scale of a generalized Pareto distribution fitted to ascending (M, batch)."""
    count = len(excess)
    points = 30 + int(sqrt(count))
    grid = torch.arange(1, points + 1, dtype=excess.dtype, device=excess.device) - 0.5
    quartile = excess[int(count / 4 + 0.5) - 1]
    # θ of Zhang & Stephens, (points, batch), then its profile log-likelihood.
    theta = (1 - (points / grid).sqrt())[:, None] / (GRID_SHARE * quartile) + 1 / excess[-1]
    at_once = max(1, MOST_NUMBERS_OF_FIT // excess.numel())
    shapes = torch.cat(
        [torch.log1p(-part[:, None] * excess).mean(1) for part in theta.split(at_once)]
    )
    profile = count * ((-theta / shapes).log() - shapes - 1)
    theta = (profile.softmax(0) * theta).sum(0)
    shape = torch.log1p(-theta * excess).mean(0)
    scale = -shape / theta
    return (count * shape + PRIOR_WEIGHTS * PRIOR_K) / (count + PRIOR_WEIGHTS), scale
