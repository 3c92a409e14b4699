"""How much of everything is measured, and how far the measuring is."""

from collections.abc import Callable
from dataclasses import dataclass

# Told the share of its part that is done, and what is at work.
Tell = Callable[[float, str], None]


@dataclass(frozen=True)
class Sizes:
    """How much work each part of `bench perf` does.

    Attributes:
        images: Training images of an epoch.
        peer_images: The same, where an epoch of another's takes too long for so many.
        batches: Sizes of a mini-batch.
        epochs: Of a training; the first is not counted.
        repeats: Number of pairs of everything else.
        components: Sizes of an aggregated posterior; all that it is held against but the floor
            is measured at the first alone.
        samples: K of the importance-weighted bound.
        steps: Training steps of a flow in one pair.
        seconds: How long the processes side by side work.
        aggregates, latents, bounds, widths, surgeries, peaks, runs: What grows: components of an
            aggregated posterior, its dimensions, K, units of a layer, data of the surgery, K where
            memory is looked at, runs of a sweep (fewer than the number from which on processes
            share the reading of records).
    """

    images: int = 50_000
    peer_images: int = 5_000
    batches: tuple[int, ...] = (100, 512)
    epochs: int = 9
    repeats: int = 7
    components: tuple[int, ...] = (10_000, 60_000)
    samples: int = 500
    steps: int = 20
    seconds: float = 2.0
    aggregates: tuple[int, ...] = (300, 1000, 3000, 10_000, 30_000)
    latents: tuple[int, ...] = (4, 12, 40, 120, 400)
    bounds: tuple[int, ...] = (10, 30, 100, 300, 1000)
    widths: tuple[int, ...] = (64, 256, 1024, 4096)
    surgeries: tuple[int, ...] = (600, 6000, 20_000, 60_000)
    peaks: tuple[int, ...] = (20, 200, 2000)
    runs: tuple[int, ...] = (10, 100, 1000)


FULL = Sizes()


def part_of(tell: Tell, number: int, count: int) -> Tell:
    """Return what tells ``tell`` how far the ``number``-th of ``count`` equal parts is."""
    return lambda share, text: tell((number + share) / count, text)


def about(tell: Tell, what: str) -> Tell:
    """Return what puts ``what`` before the words that ``tell`` is told."""
    return lambda share, text: tell(share, f"{what}: {text}")
