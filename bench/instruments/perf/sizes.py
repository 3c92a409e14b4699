"""How much work each part of `bench perf` measures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """How much work each part of `bench perf` measures.

    Attributes:
        images: Training images of an epoch.
        peer_images: The same for peers that are slower.
        batches: Sizes of a mini-batch.
        epochs: Epochs of a training; the first is not counted.
        repeats: Number of pairs of every other comparison.
        components: Sizes of an aggregated posterior; only the comparison with the floor covers all
            of them, the others the first.
        samples: K of the importance-weighted bound.
        temperatures: Steps of annealing; the time is proportional to it.
        steps: Training steps of a flow in one pair.
        seconds: Duration of the work of two processes side by side.
        aggregates, latents, bounds, widths, surgeries, peaks, runs: Sizes over which growth is
            measured: components of an aggregated posterior, its dimensions, K, units of a layer,
            data of the surgery, K for the peak memory, runs of a sweep (too few for several
            processes to read their records).
    """

    images: int = 50_000
    peer_images: int = 5_000
    batches: tuple[int, ...] = (100, 512)
    epochs: int = 9
    repeats: int = 7
    components: tuple[int, ...] = (10_000, 60_000)
    samples: int = 500
    temperatures: int = 10
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
