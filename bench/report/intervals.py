"""Intervals over seeds, of means and of paired differences (Student t, 95 %)."""

from collections.abc import Iterable, Sequence
from math import isfinite, sqrt

from bench.records.types import TableRecord

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


def paired_difference(group: Sequence[TableRecord], best: Sequence[TableRecord]) -> Interval:
    """Return mean, low and high of the difference of test bits/dim of two models, seed by seed.

    Seeds that only one of them has are left out. An exact model has one value for all seeds.

    Args:
        group: Records of one model on a task.
        best: Records of the other; the same list gives no difference.
    """
    if group is best:
        return None, None, None
    own, other = bits_by_seed(group), bits_by_seed(best)
    exact = [has_one_exact_value(members) for members in (group, best)]
    if exact == [True, False]:
        own = dict.fromkeys(other, next(iter(own.values())))
    elif exact == [False, True]:
        other = dict.fromkeys(own, next(iter(other.values())))
    differences = [own[seed] - other[seed] for seed in own if seed in other]
    return interval(differences, all(exact))


def has_one_exact_value(group: Sequence[TableRecord]) -> bool:
    """Tell whether a model has one exact value, whatever the seed."""
    bounds = {record["bound"] for record in group if record["status"] == "ok"}
    return bounds == {"exact"} and len(set(bits_by_seed(group).values())) == 1


def bits_by_seed(group: Sequence[TableRecord]) -> dict[int, float]:
    return {
        record["seed"]: record["metrics"]["test"]["bits_per_dim"]["value"]
        for record in group
        if record["status"] == "ok"
    }
