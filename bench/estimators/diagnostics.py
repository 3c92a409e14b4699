"""L_K of a split with its diagnostics, and whether its standard error can be known."""

from math import isfinite

import torch
from torch import Tensor

from bench.estimators.estimate import Estimate, MeanEstimate, mean_estimate
from bench.estimators.weights import WeightedBound, pareto_threshold

# An effective sample size below this is counted as small.
SMALL_SAMPLE = 10
# An error that comes to more than this share from fewer than FEWEST_DATA data with heavy tails is
# not known. `bench calibrate` holds 95 % intervals to it: from 100 such data on that are alike, they
# cover the expectation in 92 to 98 % of repeats even where the effective sample size is 1.
LARGEST_SHARE, FEWEST_DATA = 0.2, 100
# Nor is one that fewer than this effective number of data make. The effective numbers of trained
# models are above 30, and one outlying image among 300 mild ones has 1 to 3.
FEWEST_EFFECTIVE_DATA = 20.0
# Nor is one of fewer draws: the tails of their weights have fewer than ten.
FEWEST_DRAWS = 50
# Relative variance of a mean of weights that is zero up to rounding.
NO_VARIANCE = 1e-12


def bound_estimates(bound: WeightedBound, samples: int) -> dict[str, Estimate]:
    """Return L_K and its diagnostics as columns: means, medians and shares over the data of a split.

    The standard errors are those of an estimate of E[L_K], the expectation over the K draws for the
    given data, and not of log P(y), below which E[L_K] lies by an unknown distance. They are None
    where ``error_is_known`` says no.

    Args:
        bound: L_K of each datum.
        samples: K.

    Returns:
        log_likelihood; effective_sample_size_median and _below_10; pareto_k_above_threshold, if
        K is 21 or more; bound_rise, if K is 2 or more, with the standard error over the data alone.
    """
    known = error_is_known(bound, samples)
    size, n = bound.effective_sample_size, len(bound.value)
    plain = lambda value: Estimate(value, None, n, samples)
    columns = {
        "log_likelihood": mean_with_error(bound.value, bound.variance, samples, known),
        "effective_sample_size_median": plain(size.median().item()),
        "effective_sample_size_below_10": plain((size < SMALL_SAMPLE).double().mean().item()),
    }
    if not bound.pareto_k.isnan().any():
        above = bound.pareto_k > pareto_threshold(samples)
        columns["pareto_k_above_threshold"] = plain(above.double().mean().item())
    if samples > 1:
        rise = mean_estimate(bound.rise[None])
        error = rise.stderr_data if known else None
        columns["bound_rise"] = rise._replace(samples=samples, stderr_data=error)
    return columns


def mean_with_error(values: Tensor, variances: Tensor, samples: int, is_known: bool) -> Estimate:
    """Return the mean over data (n,); its standard error is None unless it is known and finite.

    One that is finite but not known is ``stderr_untrusted``.
    """
    mean = MeanEstimate(sync_on_compute=False)
    mean.update(values, variances, samples)
    estimate = mean.estimate()
    computed = estimate.stderr
    if computed is not None and not isfinite(computed):
        computed = None
    if is_known:
        return estimate._replace(stderr=computed)
    return estimate._replace(stderr=None, stderr_untrusted=computed)


def error_is_known(bound: WeightedBound, samples: int) -> bool:
    """Tell whether the jackknife's standard error of the mean of L_K over data is to be trusted.

    For a single datum whose sum a few weights carry the jackknife is as uncertain as the weights. In a
    mean over data those errors average out if there are enough such data, and if no few of them
    make most of the error. A datum counts as heavy if its k̂ is above the threshold, or cannot be
    fitted. The error is not known

    - of fewer than 50 draws, of which the tails are too short to show outlying data; below 10 draws
      the jackknife's variance is too small besides;
    - if fewer than 100 heavy data contribute more than a fifth of the variance, taken of the delta
      method's variances 1/ESS − 1/K, which no single weight can make large;
    - if the ``effective_data`` are fewer than 20.

    Where all weights of all data are equal it is 0, and known. No rule can see a region of the
    posterior that none of the draws has hit.
    """
    if samples < 2:
        return False
    variance = (1 / bound.effective_sample_size - 1 / samples).clamp(min=0)
    is_heavy = ~(bound.pareto_k <= pareto_threshold(samples)) & (variance > NO_VARIANCE)
    count = int(is_heavy.sum())
    if count == 0:
        return True
    if samples < FEWEST_DRAWS:
        return False
    if count < FEWEST_DATA and variance[is_heavy].sum() > LARGEST_SHARE * variance.sum():
        return False
    return effective_data(bound.smoothed_variance, is_heavy) >= FEWEST_EFFECTIVE_DATA


def effective_data(variances: Tensor, is_heavy: Tensor) -> float:
    """Return (Σ v)² / Σ v², the second sum over heavy data alone, whose variances are uncertain.

    With v of all data alike and heavy it is their number; with one that makes nearly all of the
    variance it is 1. The v are those of smoothed weights. With the jackknife's own, a limit would keep
    just those repeats in which the outlying datum's v came out too small, and with it the error.

    Args:
        variances: v (n,), in nats².
        is_heavy: Whether a datum has heavy-tailed weights (n,).
    """
    return (variances.sum().square() / variances[is_heavy].square().sum()).item()


def joined(bounds: list[WeightedBound]) -> WeightedBound:
    """Return the bounds of all data of several blocks."""
    return WeightedBound(*(torch.cat(field) for field in zip(*bounds)))
