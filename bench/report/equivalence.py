"""Two one-sided tests (Schuirmann 1987): is our mean over seeds equivalent to a published number?

Equivalent and different are both shown by the interval of the difference. It has 95 %, as every
interval over seeds here. The usual test at 5 % takes the interval of 90 %; this one is stricter: each
of its two one-sided tests has 2.5 %.
"""

from collections.abc import Sequence
from math import hypot
from statistics import mean, stdev

from bench.report.intervals import Interval

EQUIVALENT = "equivalent within δ"
DIFFERENT = "different"
NOT_DECIDED = "not decided"
# Where more seeds than these would be needed, seeds are not the way to decide.
MOST_SEEDS = 1000


def difference_interval(values: Sequence[float], theirs: float, their_error: float) -> Interval:
    """Return mean, low and high of ours less theirs; one seed gives no interval.

    Args:
        values: Ours, a finite number for each seed.
        theirs: The published number.
        their_error: Its standard error; 0 where none is stated.
    """
    difference = mean(values) - theirs
    if len(values) < 2:
        return difference, None, None
    half = half_width(len(values), stdev(values), their_error)
    return difference, difference - half, difference + half


def half_width(seeds: int, spread: float, their_error: float) -> float:
    """Return the half width of a 95 % interval: Student's t over our seeds, a normal for theirs.

    Args:
        seeds: Number of our seeds, 2 or more.
        spread: Their standard deviation.
        their_error: Standard error of the published number.
    """
    from scipy.stats import t

    return hypot(float(t.ppf(0.975, seeds - 1)) * spread / seeds**0.5, 1.96 * their_error)


def verdict_of(low: float | None, high: float | None, margin: float) -> str:
    """Return the verdict on the interval of a difference; None, None is that of one seed."""
    if low is None or high is None:
        return NOT_DECIDED
    if -margin <= low and high <= margin:
        return EQUIVALENT
    return DIFFERENT if low > margin or high < -margin else NOT_DECIDED


def seeds_to_decide(
    difference: float, spread: float, their_error: float, margin: float
) -> int | None:
    """Return how many seeds would decide if mean and spread stayed as they are.

    None: not even ``MOST_SEEDS`` would. Where the error of the published number alone reaches across
    the margin, no number of seeds decides.

    Args:
        difference: Mean of ours less theirs.
        spread: Standard deviation of ours over seeds.
        their_error: Standard error of the published number.
        margin: Largest difference that counts as equivalent.
    """

    def decides(seeds: int) -> bool:
        half = half_width(seeds, spread, their_error)
        return verdict_of(difference - half, difference + half, margin) != NOT_DECIDED

    # More seeds make the interval narrower, and never undecide.
    if not decides(MOST_SEEDS):
        return None
    few, many = 1, MOST_SEEDS
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if decides(middle) else (middle, many)
    return many
