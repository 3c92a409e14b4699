"""Progress of each part of a measurement, as progress of the whole."""

from collections.abc import Callable, Sequence

# (share of the part done in [0, 1], text).
PartProgress = Callable[[float, str], None]


def split_progress(progress: PartProgress, weights: Sequence[float]) -> list[PartProgress]:
    """Return a callback for each of several consecutive parts, which report to ``progress``.

    Args:
        progress: Called with the share of the whole that is done.
        weights: Durations of the parts, in any unit.
    """
    total = sum(weights)
    starts = [sum(weights[:number]) / total for number in range(len(weights))]
    return [scaled(progress, start, weight / total) for start, weight in zip(starts, weights)]


def scaled(progress: PartProgress, start: float, width: float) -> PartProgress:
    """Return the callback of the part that fills [start, start + width] of the whole."""
    return lambda share, text: progress(start + width * share, text)


def prefixed(progress: PartProgress, prefix: str) -> PartProgress:
    """Return a callback that puts ``prefix`` before each text."""
    return lambda share, text: progress(share, f"{prefix}: {text}")
