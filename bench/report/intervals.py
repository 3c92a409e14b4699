"""Intervals over seeds of a mean (Student t, 95 %)."""

from collections.abc import Iterable
from math import isfinite, sqrt

# Mean, low and high.
Interval = tuple[float | None, float | None, float | None]


def interval(values: Iterable[float | None], is_exact: bool) -> Interval:
    """Return mean, low and high of a 95 % interval over seeds (Student t).

    A single seed gives no interval. An exact model, all of whose values are equal, has an interval of
    width 0: it has no seed to vary.

    Args:
        values: A value for each seed; missing and infinite ones are left out.
        is_exact: The model's values are exact.
    """
    finite = [value for value in values if value is not None and isfinite(value)]
    if not finite:
        return None, None, None
    mean = sum(finite) / len(finite)
    if is_exact and min(finite) == max(finite):
        return mean, mean, mean
    if len(finite) == 1:
        return mean, None, None
    from scipy.stats import t

    variance = sum((value - mean) ** 2 for value in finite) / (len(finite) - 1)
    half = float(t.ppf(0.975, len(finite) - 1)) * sqrt(variance / len(finite))
    return mean, mean - half, mean + half
