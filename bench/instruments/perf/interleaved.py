"""Times of two ways to do one thing, taken by turns, so that a noisy machine is noisy for both."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from bench.instruments.perf.sizes import Tell

BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Comparison:
    """A row of perf.csv.

    Attributes:
        what: What was done.
        against: What ours is held against.
        unit: Unit of the two times.
        ours, other: Median times.
        ratio: Median of other / ours over the pairs: how many times as fast ours is.
        low, high: 95 % bootstrap interval of that median.
        repeats: Number of pairs.
        target: The least ratio that is wanted; None where none is set.
    """

    what: str
    against: str
    unit: str
    ours: float
    other: float
    ratio: float
    low: float
    high: float
    repeats: int
    target: float | None = None

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.ratio >= self.target


def compare(
    what: str,
    against: str,
    unit: str,
    ours: list[float],
    other: list[float],
    target: float | None = None,
) -> Comparison:
    """Return the comparison of times that were taken in pairs."""
    ratios = np.array(other) / np.array(ours)
    drawn = np.random.default_rng(0).choice(ratios, (BOOTSTRAPS, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return Comparison(
        what,
        against,
        unit,
        median(ours),
        median(other),
        float(np.median(ratios)),
        float(low),
        float(high),
        len(ratios),
        target,
    )


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def by_turns(
    ours: Callable[[], object],
    other: Callable[[], float],
    repeats: int,
    tell: Tell,
    what: str,
) -> tuple[list[float], list[float]]:
    """Return the seconds of both, each done once before and then ``repeats`` times by turns.

    Args:
        ours: What is timed.
        other: What it is held against; returns its own seconds.
        repeats: Number of pairs.
        tell: Is told how far it is.
        what: What is compared, in words.
    """
    ours(), other()
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(repeats):
        tell(number / repeats, what)
        times[0].append(seconds(ours))
        times[1].append(other())
    return times
