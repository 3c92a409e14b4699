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


def difference_interval(values: Sequence[float], theirs: float, other_error: float) -> Interval:
    """Return mean, low and high of ours less theirs; one seed gives no interval.

    Args:
        values: Ours, a finite number for each seed.
        theirs: The published number.
        other_error: Standard error of what does not change with our seeds: that of the published
            number, and that of the draws of the test images.
    """
    difference = mean(values) - theirs
    if len(values) < 2:
        return difference, None, None
    half = half_width(len(values), stdev(values), other_error)
    return difference, difference - half, difference + half


def half_width(seeds: int, spread: float, other_error: float) -> float:
    """Return the half width of a 95 % interval: Student's t over our seeds, a normal for the rest.

    Args:
        seeds: Number of our seeds, 2 or more.
        spread: Their standard deviation.
        other_error: As in ``difference_interval``.
    """
    from scipy.stats import t

    return hypot(float(t.ppf(0.975, seeds - 1)) * spread / seeds**0.5, 1.96 * other_error)


def verdict_of(low: float | None, high: float | None, margin: float) -> str:
    """Return the verdict on the interval of a difference; None, None is that of one seed."""
    if low is None or high is None:
        return NOT_DECIDED
    if -margin <= low and high <= margin:
        return EQUIVALENT
    return DIFFERENT if low > margin or high < -margin else NOT_DECIDED


def seeds_to_decide(
    difference: float, spread: float, other_error: float, margin: float
) -> int | None:
    """Return how many seeds would decide if mean and spread stayed as they are.

    None: not even ``MOST_SEEDS`` would. Where the error that does not change with our seeds reaches
    across the margin alone, no number of seeds decides. It is no rule for when to stop: seeds that are
    added until the interval decides make a wrong verdict several times as likely.

    Args:
        difference: Mean of ours less theirs.
        spread: Standard deviation of ours over seeds.
        other_error: As in ``difference_interval``.
        margin: Largest difference that counts as equivalent.
    """

    def decides(seeds: int) -> bool:
        half = half_width(seeds, spread, other_error)
        return verdict_of(difference - half, difference + half, margin) != NOT_DECIDED

    # More seeds make the interval narrower, and never undecide.
    if not decides(MOST_SEEDS):
        return None
    few, many = 1, MOST_SEEDS
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if decides(middle) else (middle, many)
    return many
