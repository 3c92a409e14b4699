"""Intervals over seeds, of means and of paired differences (Student t, 95 %)."""

from math import isfinite, sqrt

Interval = tuple[float | None, float | None, float | None]


def interval(values: list[float], is_exact: bool) -> Interval:
    """Return mean, low and high of a 95 % interval over seeds (Student t).

    One seed has no interval, unless the model is exact and has no seed to vary: then all its values
    are one.
    """
    values = [value for value in values if value is not None and isfinite(value)]
    if not values:
        return None, None, None
    mean = sum(values) / len(values)
    if is_exact and min(values) == max(values):
        return mean, mean, mean
    if len(values) == 1:
        return mean, None, None
    from scipy.stats import t

    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    half = float(t.ppf(0.975, len(values) - 1)) * sqrt(variance / len(values))
    return mean, mean - half, mean + half


def paired_difference(group: list[dict], best: list[dict]) -> Interval:
    """Return mean, low and high of the difference of test bits/dim of two models, seed by seed.

    Seeds that only one of them has are left out. An exact model has one value for all seeds.

    Args:
        group: Records of the one model on a task.
        best: Records of the other; the same list gives no difference.
    """
    if group is best:
        return None, None, None
    own, other = bits_by_seed(group), bits_by_seed(best)
    exact = [is_exact(members) for members in (group, best)]
    if exact == [True, False]:
        own = dict.fromkeys(other, next(iter(own.values())))
    elif exact == [False, True]:
        other = dict.fromkeys(own, next(iter(other.values())))
    differences = [own[seed] - other[seed] for seed in own if seed in other]
    return interval(differences, all(exact))


def is_exact(group: list[dict]) -> bool:
    """Tell whether a model has one exact value, whatever the seed."""
    bounds = {record["bound"] for record in group if record["status"] == "ok"}
    return bounds == {"exact"} and len(set(bits_by_seed(group).values())) == 1


def bits_by_seed(group: list[dict]) -> dict[int, float]:
    return {
        record["seed"]: record["metrics"]["test"]["bits_per_dim"]["value"]
        for record in group
        if record["status"] == "ok"
    }
