"""How time and memory grow: measurements over two decades and the exponent that fits best."""

from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from bench.densities.mixture_table import MixtureTable
from bench.densities.normal import DiagonalNormal
from bench.estimators.evidence import importance_weighted_bound
from bench.estimators.surgery import ELBOSurgery
from bench.instruments.perf.estimators import LATENT, POINTS, encoded
from bench.instruments.perf.idle import do_nothing, made_up, table_texts, write_made_up
from bench.instruments.perf.interleaved import Work, seconds
from bench.instruments.perf.sizes import Sizes
from bench.instruments.perf.sweeps import small_job
from bench.instruments.perf.training import DEEP, SIDE, Architecture, untrained
from bench.instruments.progress import PartProgress, split_progress
from bench.models.terms import Terms
from bench.models.vae import VAE
from bench.noise import EVALUATION_BLOCK
from bench.report.reduce import load_sweep
from bench.runs.run import run
from bench.sweep.apart import EngineApart
from bench.sweep.resources import Request

# The smallest of these times counts, after one call that is not timed.
REPEATS = 3


@dataclass(frozen=True)
class Growth:
    """A row of growth.csv: quantity ≈ c · size^exponent.

    Attributes:
        what: The work that is measured.
        quantity: seconds, or MiB.
        size: What varies.
        smallest, largest: Its range.
        exponent: Slope of the least-squares line through the logarithms.
        expected: The exponent of the operation count.
        at_largest: The quantity at the largest size.
    """

    what: str
    quantity: str
    size: str
    smallest: int
    largest: int
    exponent: float
    expected: float
    at_largest: float


def time_growth(
    what: str,
    size: str,
    sizes: tuple[int, ...],
    work: Callable[[int], Work],
    expected: float,
    progress: PartProgress,
) -> Growth:
    """Return how the seconds of ``work(size)()`` grow."""
    best, done = [], 0
    for number in sizes:
        once, times = work(number), []
        for _ in range(1 + REPEATS):
            progress(done / ((1 + REPEATS) * sum(sizes)), f"{what}, {size} = {number}")
            times.append(seconds(once))
            done += number
        best.append(min(times[1:]))
    exponent = slope(sizes, best)
    return Growth(what, "seconds", size, sizes[0], sizes[-1], exponent, expected, best[-1])


def memory_growth(
    what: str,
    size: str,
    sizes: tuple[int, ...],
    work: Callable[[int], None],
    expected: float,
    progress: PartProgress,
) -> Growth:
    """Return how the peak memory of ``work(size)`` grows; each size has its own process."""
    peaks = []
    for number, part in zip(sizes, split_progress(progress, [1] * len(sizes))):
        part(0, f"{what}, {size} = {number}")
        with get_context("spawn").Pool(1) as pool:
            peaks.append(pool.apply(peak_of, (work, number)))
    exponent = slope(sizes, peaks)
    return Growth(what, "MiB", size, sizes[0], sizes[-1], exponent, expected, peaks[-1])


def slope(sizes: tuple[int, ...], quantities: list[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(quantities), 1)[0])


def peak_of(work: Callable[[int], None], size: int) -> float:
    """Return by how many MiB this process' peak memory grows over that of a small size."""
    torch.set_num_threads(1)
    # The peak of getrusage includes that of the parent process.
    status = lambda: Path("/proc/self/status").read_text().split("VmHWM:")[1]
    peak = lambda: int(status().split()[0]) / 1024
    work(EVALUATION_BLOCK)
    before = peak()
    work(size)
    return max(peak() - before, 1.0)


@torch.no_grad()
def surgery_of(n: int) -> None:
    """Compute the ELBO surgery of n data with random encodings, one sample of each."""
    surgery, generator = ELBOSurgery(), torch.Generator().manual_seed(0)
    for start in range(0, n, EVALUATION_BLOCK):
        block = min(EVALUATION_BLOCK, n - start)
        loc = torch.randn(block, LATENT, generator=generator)
        posterior = DiagonalNormal(loc, torch.full_like(loc, -1.2))
        z = loc + 0.3 * torch.randn(loc.shape, generator=generator)
        zeros = torch.zeros(1, block)
        surgery.update(Terms(zeros, zeros, zeros, z[None], posterior))
    surgery.compute()


def bound_work(model: VAE, k: int) -> Work:
    """Return the work of L_K of 100 images."""
    y = torch.zeros(100, SIDE**2, dtype=torch.uint8)
    return torch.no_grad()(lambda: importance_weighted_bound(model, y, k, 0))


def bound_of(k: int) -> None:
    bound_work(untrained(DEEP), k)()


def sweep_growth(runs: tuple[int, ...], progress: PartProgress) -> list[Growth]:
    """Return how the overhead of a sweep and the time of its tables grow with its runs."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        template = run(small_job(temporary, 0))
        del template["notes"]  # which no record keeps
        # Started here, so that no timing includes it; the first, untimed runs start its workers.
        engine = EngineApart()

        def idle(runs: int) -> Work:
            records = list(made_up(template, runs))
            return lambda: do_nothing(engine, records, Request(1), folder / f"idle-{runs}")

        def tables(runs: int) -> Work:
            sweep = folder / f"tables-{runs}"
            write_made_up(template, runs, sweep)
            return lambda: table_texts(load_sweep(sweep), sweep.name)

        first, second = split_progress(progress, [1, 1])
        try:
            sweeps = time_growth("a sweep of idle runs", "runs", runs, idle, 1, first)
        finally:
            engine.close()
        return [sweeps, time_growth("tables of a sweep", "runs", runs, tables, 1, second)]


@torch.no_grad()
def growth_rows(sizes: Sizes, progress: PartProgress) -> list[Growth]:
    torch.set_num_threads(1)
    some = sizes.components[0]

    def q_agg(n: int) -> Work:
        components, weights, z = encoded("typical", n)
        # As many points as components: the points are repeated.
        table, points = MixtureTable(components, weights), z.repeat(-(-n // len(z)), 1)[:n]
        return lambda: [table.log_prob(part) for part in points.split(POINTS)]

    def dimensions(latent: int) -> Work:
        components, weights, z = encoded("typical", some, latent)
        table = MixtureTable(components, weights)
        return lambda: table.log_prob(z)

    bound = lambda k: bound_work(untrained(DEEP), k)
    width = lambda units: bound_work(untrained(Architecture("", (units, units), "tanh", 50)), 20)
    parts = split_progress(progress, [1] * 7)
    every = "exact q_agg at all points"
    of_bound = "peak memory of L_K of 100 images"
    return [
        time_growth(every, "n", sizes.aggregates, q_agg, 2, parts[0]),
        time_growth(f"exact q_agg, n = {some}", "z", sizes.latents, dimensions, 1, parts[1]),
        time_growth("L_K of 100 images", "K", sizes.bounds, bound, 1, parts[2]),
        time_growth("L_20 of 100 images", "units of a layer", sizes.widths, width, 2, parts[3]),
        memory_growth("peak memory of surgery", "n", sizes.surgeries, surgery_of, 1, parts[4]),
        memory_growth(of_bound, "K", sizes.peaks, bound_of, 0, parts[5]),
        *sweep_growth(sizes.runs, parts[6]),
    ]
