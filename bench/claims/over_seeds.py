"""A mean over seeds with its error and its interval, for claims that compare runs. No PyTorch."""

from collections.abc import Sequence
from math import sqrt
from statistics import mean, stdev
from typing import NamedTuple

from scipy.stats import t


class OverSeeds(NamedTuple):
    """A mean over seeds, its standard error, and half of its 95 % interval (Student's t)."""

    mean: float
    error: float
    half: float


def over_seeds(values: Sequence[float]) -> OverSeeds:
    """Return the mean of two or more values, one of each seed, with error and interval."""
    error = stdev(values) / sqrt(len(values))
    return OverSeeds(mean(values), error, float(t.ppf(0.975, len(values) - 1)) * error)
