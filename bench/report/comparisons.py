"""Comparisons of several models at once: differences to the best of the others, and open ranks.

Multiple comparisons with the best (Hsu 1984, Annals of Statistics 12; Hsu 1996, Multiple Comparisons,
chapter 4) pay for the choice of the best: with 95 % confidence all intervals of a task hold together.
Seeds of different models are independent trainings, so they are not paired. Two or three values say
little of a variance, so the models of a task share their degrees of freedom. A model's variance is the
pooled one, or its own where that is larger: the pooled one alone covers too rarely where variances
differ, and each model's own alone gives intervals several times as wide. One value says nothing of a
variance, so a model with one seed has no interval, and no other model is compared with it.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
# Points of the quadrature over the control's mean (in standard deviations) and over the pooled
# standard deviation (in quantiles).
NODES = np.linspace(-7, 7, 141)
QUANTILES = (np.arange(100) + 0.5) / 100
# An exact model compared with a trained one has no error of its own; its comparisons' correlation of
# 1 is lowered to this, which makes the integrand smooth and the critical value larger.
LARGEST_CORRELATION = 0.99


class Comparison(NamedTuple):
    """A model among the models of its task; None where nothing is known.

    Attributes:
        difference: Its mean less the smallest mean of the others, below 0 for the best.
        low: Lower end of the simultaneous interval, never above 0; where it is 0 and ``high`` is
            not, another model is better. None for a model with one seed, and where the best other
            has one.
        high: Upper end, never below 0; where it is 0, no other model with an interval is better.
        rank_low: The lowest (best) rank that the comparisons of all pairs leave open. A model with one
            seed has none, and may stand before or after any other.
        rank_high: The highest.
    """

    difference: float | None = None
    low: float | None = None
    high: float | None = None
    rank_low: int | None = None
    rank_high: int | None = None


def comparisons(values: Sequence[Sequence[float]], exact: Sequence[bool]) -> list[Comparison]:
    """Return the comparison of each model with the others; smaller is better.

    Args:
        values: For each model its value of each seed, at least one.
        exact: For each model whether its values are one exact number, which no seed changes.

    Returns:
        Differences of all models; intervals and ranks of those that are exact or have two seeds.
    """
    mean = np.array([np.mean(own) for own in values])
    alone = len(mean) == 1
    least = np.full(1, np.nan) if alone else least_of_others(mean)
    found = [Comparison(None if alone else d) for d in (mean - least).tolist()]
    compared = [i for i, own in enumerate(values) if exact[i] or len(own) > 1]
    if not compared:
        return found
    own_exact = [exact[i] for i in compared]
    variance, degrees = variances([values[i] for i in compared], own_exact)
    lowest, highest = open_ranks(mean[compared], variance, degrees)
    # A model that is compared with none may stand before any other.
    highest = highest + len(mean) - len(compared)
    for i, *ranks in zip(compared, lowest.tolist(), highest.tolist()):
        found[i] = Comparison(found[i].difference, None, None, *ranks)
    if len(compared) == 1:
        return found
    numbers = counts([values[i] for i in compared], own_exact)
    low, high = intervals_to_best(mean[compared], variance, numbers, degrees)
    known = least_of_others(mean[compared]) == least[compared]
    for i, is_known, *ends in zip(compared, known.tolist(), low.tolist(), high.tolist()):
        if is_known:
            found[i] = found[i]._replace(low=ends[0], high=ends[1])
    return found


def least_of_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each position the smallest value at another position."""
    first, second = np.partition(values, 1)[:2]
    others = np.full_like(values, first)
    others[np.argmin(values)] = second
    return others


def counts(values: Sequence[Sequence[float]], exact: Sequence[bool]) -> list[int]:
    """Return the number of seeds of each model, 0 for exact ones."""
    return [0 if is_exact else len(own) for own, is_exact in zip(values, exact)]


def variances(
    values: Sequence[Sequence[float]], exact: Sequence[bool]
) -> tuple[NDArray[np.float64], int]:
    """Return the variance of each model's mean, and the pooled degrees of freedom.

    A model's own variance counts where it is larger than the pooled one; exact models have none.
    """
    numbers = counts(values, exact)
    degrees = sum(n - 1 for n in numbers if n)
    squares = [float(np.var(own)) * len(own) if n else 0.0 for own, n in zip(values, numbers)]
    pooled = sum(squares) / degrees if degrees else 0.0
    own = [square / (n - 1) if n > 1 else 0.0 for square, n in zip(squares, numbers)]
    each = [max(one, pooled) / n if n else 0.0 for one, n in zip(own, numbers)]
    return np.array(each), degrees


def intervals_to_best(
    mean: NDArray[np.float64], variance: NDArray[np.float64], numbers: list[int], degrees: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both ends of Hsu's constrained intervals of mean − smallest mean of the others.

    Args:
        mean: The models' means, (k,).
        variance: Their variances, (k,).
        numbers: Their numbers of seeds; 0 for exact ones.
        degrees: Degrees of freedom of the pooled variance.
    """
    every = Counter(numbers)

    def margins(i: int) -> NDArray[np.float64]:
        others = every - Counter([numbers[i]])
        critical = dunnett(numbers[i], tuple(sorted(others.items())), degrees)
        return critical * np.sqrt(variance[i] + variance)

    # Upper confidence limit of how much better than the best of the others each model is.
    better = np.array([np.delete(mean + margins(i) - mean[i], i).min() for i in range(len(mean))])
    candidates = np.flatnonzero(better >= 0).tolist()
    high = np.zeros_like(mean)
    for j in candidates:
        worse = mean - mean[j] + margins(j)
        worse[j] = 0.0
        high = np.maximum(high, worse)
    return np.minimum(-better, 0.0) + 0.0, high  # + 0.0: no negative zero


@lru_cache(maxsize=1024)
def dunnett(control: int, others: tuple[tuple[int, int], ...], degrees: int) -> float:
    """Return Dunnett's one-sided critical value (1955, JASA 50) of comparisons with one control.

    The comparisons (x_0 − x_j) / standard error have correlations λ_i λ_j with
    λ_j² = (1/n_0) / (1/n_0 + 1/n_j), n being the numbers of seeds. Given the control's mean and the
    pooled standard deviation they are independent, so that a quadrature over these two suffices.

    Args:
        control: Number of seeds of the control, 0 if it is exact.
        others: (number of seeds, number of models that have so many) of the models compared with it.
        degrees: Degrees of freedom of the pooled variance.
    """
    from scipy.optimize import brentq
    from scipy.special import chdtri, ndtr

    noise = {n: 1 / n if n else 0.0 for n in (control, *dict(others))}
    # Two exact models differ without error.
    models = [(n, k) for n, k in others if noise[control] + noise[n]]
    if not models:
        return 0.0
    weight = np.exp(-(NODES**2) / 2)
    weight /= weight.sum()
    scale = np.sqrt(chdtri(degrees, 1 - QUANTILES) / degrees)

    def excess(critical: float) -> float:
        inside = np.ones((len(NODES), len(scale)))
        for n, k in models:
            share = noise[control] / (noise[control] + noise[n])
            share = min(share, LARGEST_CORRELATION)
            point = np.sqrt(share) * NODES[:, None] + critical * scale
            inside *= ndtr(point / np.sqrt(1 - share)) ** k
        return float(weight @ inside.mean(1)) - CONFIDENCE

    return float(brentq(excess, 0.0, 1e4))


def open_ranks(
    mean: NDArray[np.float64], variance: NDArray[np.float64], degrees: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lowest and highest rank of each model that is left open with 95 % confidence.

    All pairs are compared at once (Al Mohamad, Goeman & van Zwet 2022, Biometrics 78); the critical
    value is Student's with Šidák's correction (1967, JASA 62), which holds for any correlation.
    """
    from scipy.stats import t

    k, exact = len(mean), int((variance == 0).sum())
    pairs = k * (k - 1) // 2 - exact * (exact - 1) // 2
    level = (1 + CONFIDENCE ** (1 / max(pairs, 1))) / 2
    critical = float(t.ppf(level, degrees)) if degrees else 0.0
    worse = np.zeros(k, np.int64)
    better = np.zeros(k, np.int64)
    for i in range(k):
        margin = critical * np.sqrt(variance[i] + variance)
        worse[i] = (mean + margin < mean[i]).sum()
        better[i] = (mean - margin > mean[i]).sum()
    return 1 + worse, k - better
