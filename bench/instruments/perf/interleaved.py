"""Interleaved timings of two ways to do one thing, so that a noisy machine affects both alike."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np

from bench.instruments.progress import PartProgress, split_progress

BOOTSTRAPS = 1000
# What is timed.
Work = Callable[[], object]


class Alternative(NamedTuple):
    """What ours is compared with.

    Attributes:
        name: Its name in tables.
        seconds: Does its work and returns the seconds.
        size: Size of its work, such as a number of images.
        target: The smallest satisfactory ratio; None where there is no target.
    """

    name: str
    seconds: Callable[[], float]
    size: int
    target: float | None


@dataclass(frozen=True)
class Comparison:
    """A row of perf.csv.

    Attributes:
        what: The work that is timed.
        against: The alternative that it is compared with.
        unit: Unit of the two times.
        ours, other: Median times.
        ratio: Median of other / ours over the pairs: above 1 ours is faster.
        low, high: 95 % bootstrap interval of that median.
        repeats: Number of pairs.
        target: The smallest satisfactory ratio; None where there is no target.
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
        """Whether the ratio reaches its target; None without a target."""
        return None if self.target is None else self.ratio >= self.target


def compare(
    what: str,
    against: str,
    unit: str,
    ours: list[float],
    other: list[float],
    target: float | None = None,
) -> Comparison:
    """Return the comparison of paired times."""
    ratios = np.array(other) / np.array(ours)
    resampled = np.random.default_rng(0).choice(ratios, (BOOTSTRAPS, len(ratios)))
    low, high = np.percentile(np.median(resampled, axis=1), [2.5, 97.5])
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


def seconds(work: Work) -> float:
    """Return the seconds that one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleave(
    ours: Work, other: Callable[[], float], repeats: int, progress: PartProgress, what: str
) -> tuple[list[float], list[float]]:
    """Return ``repeats`` times in seconds of each of the two, after one untimed call of each.

    Args:
        ours: The work that is timed.
        other: The alternative; returns its own seconds.
        repeats: Number of pairs.
        progress: Called before each pair.
        what: Its text.
    """
    ours(), other()
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(repeats):
        progress(number / repeats, what)
        times[0].append(seconds(ours))
        times[1].append(other())
    return times


@dataclass(frozen=True)
class Timed:
    """Our work, which is compared with alternatives.

    Attributes:
        what: The work in words.
        unit: Unit of times in the table.
        per_second: What a second for work of size 1 is in that unit.
        work: The work.
        size: Its size, in what the alternatives' sizes are in.
    """

    what: str
    unit: str
    per_second: float
    work: Work
    size: int

    def scaled(self, times: list[float], size: int) -> list[float]:
        """Return seconds of work of a size in the unit."""
        return [self.per_second * t / size for t in times]


def compared(
    ours: Timed, others: Sequence[Alternative], repeats: int, progress: PartProgress
) -> list[Comparison]:
    """Return the comparison with each alternative, interleaved with it alone."""
    rows = []
    for other, part in zip(others, split_progress(progress, [1] * len(others))):
        label = f"{ours.what}: {other.name}"
        own, theirs = interleave(ours.work, other.seconds, repeats, part, label)
        times = ours.scaled(own, ours.size), ours.scaled(theirs, other.size)
        rows.append(compare(ours.what, other.name, ours.unit, *times, target=other.target))
    return rows
