"""How time and memory grow: measured over two decades, with the exponent that fits best."""

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
from bench.instruments.perf.interleaved import seconds
from bench.instruments.perf.sizes import Sizes, Tell, part_of
from bench.instruments.perf.sweeps import small_job
from bench.instruments.perf.training import NETWORKS, SIDE, untrained
from bench.models.terms import Terms
from bench.noise import EVALUATION_BLOCK
from bench.report.reduce import load_sweep
from bench.runs.run import run
from bench.sweep.apart import EngineApart
from bench.sweep.resources import Request


@dataclass(frozen=True)
class Growth:
    """A row of growth.csv: quantity ≈ c · size^exponent.

    Attributes:
        what: What was done.
        quantity: seconds, or MiB.
        size: What was varied.
        smallest, largest: Its range.
        exponent: Slope of the least-squares line through the logarithms.
        expected: What the arithmetic says.
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


def fitted(
    what: str,
    size: str,
    sizes: tuple[int, ...],
    work: Callable[[int], Callable],
    expected: float,
    tell: Tell,
) -> Growth:
    """Return how the seconds of ``work(size)()`` grow; the best of three tells each."""
    best, done = [], 0
    for number in sizes:
        once, times = work(number), []
        for _ in range(4):
            tell(done / (4 * sum(sizes)), f"{what}, {size} = {number}")
            times.append(seconds(once))
            done += number
        best.append(min(times[1:]))
    exponent = float(np.polyfit(np.log(sizes), np.log(best), 1)[0])
    return Growth(what, "seconds", size, sizes[0], sizes[-1], exponent, expected, best[-1])


def fitted_memory(
    what: str,
    size: str,
    sizes: tuple[int, ...],
    work: Callable[[int], object],
    expected: float,
    tell: Tell,
) -> Growth:
    """Return how the peak memory of ``work(size)`` grows, each size in a process of its own."""
    peaks = []
    for place, number in enumerate(sizes):
        tell(place / len(sizes), f"{what}, {size} = {number}")
        with get_context("spawn").Pool(1) as pool:
            peaks.append(pool.apply(peak_of, (work, number)))
    exponent = float(np.polyfit(np.log(sizes), np.log(peaks), 1)[0])
    return Growth(what, "MiB", size, sizes[0], sizes[-1], exponent, expected, peaks[-1])


def peak_of(work: Callable[[int], object], size: int) -> float:
    """Return by how many MiB this process' peak memory grows over what it had for a small size."""
    torch.set_num_threads(1)
    # Not getrusage's: that begins with the peak of the process which started this one.
    status = lambda: Path("/proc/self/status").read_text().split("VmHWM:")[1]
    peak = lambda: int(status().split()[0]) / 1024
    work(EVALUATION_BLOCK)
    before = peak()
    work(size)
    return max(peak() - before, 1.0)


@torch.no_grad()
def surgery_of(n: int) -> None:
    """Do the ELBO surgery of n data whose encodings are made up, one sample of each."""
    surgery, generator = ELBOSurgery(), torch.Generator().manual_seed(0)
    for start in range(0, n, EVALUATION_BLOCK):
        block = min(EVALUATION_BLOCK, n - start)
        loc = torch.randn(block, LATENT, generator=generator)
        posterior = DiagonalNormal(loc, torch.full_like(loc, -1.2))
        z = loc + 0.3 * torch.randn(loc.shape, generator=generator)
        zeros = torch.zeros(1, block)
        surgery.update(Terms(zeros, zeros, zeros, z[None], posterior))
    surgery.compute()


@torch.no_grad()
def bound_of(k: int) -> None:
    y = torch.zeros(100, SIDE**2, dtype=torch.uint8)
    importance_weighted_bound(untrained(NETWORKS[0]), y, k, 0)


def sweep_growth(runs: tuple[int, ...], tell: Tell) -> list[Growth]:
    """How a sweep and its tables grow with the number of runs, beside the runs' own work."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        template = run(small_job(temporary, 0))
        del template["notes"]  # which no record keeps
        # Before anything is timed: an engine starts once, and its workers with the first runs.
        engine = EngineApart()

        def idle(runs: int) -> Callable:
            records = list(made_up(template, runs))
            return lambda: do_nothing(engine, records, Request(1), folder / f"idle-{runs}")

        def tables(runs: int) -> Callable:
            sweep = folder / f"tables-{runs}"
            write_made_up(template, runs, sweep)
            return lambda: table_texts(load_sweep(sweep), sweep.name)

        try:
            part = part_of(tell, 0, 2)
            sweeps = fitted("a sweep of idle runs", "runs", runs, idle, 1, part)
        finally:
            engine.close()
        part = part_of(tell, 1, 2)
        return [sweeps, fitted("tables of a sweep", "runs", runs, tables, 1, part)]


@torch.no_grad()
def growth_rows(sizes: Sizes, tell: Tell) -> list[Growth]:
    torch.set_num_threads(1)
    some = sizes.components[0]

    def q_agg(n: int) -> Callable:
        components, weights, z = encoded("typical", n)
        # As many points as components: those that there are, as often as it takes.
        table, points = MixtureTable(components, weights), z.repeat(-(-n // len(z)), 1)[:n]
        return lambda: [table.log_prob(part) for part in points.split(POINTS)]

    def dimensions(latent: int) -> Callable:
        components, weights, z = encoded("typical", some, latent)
        table = MixtureTable(components, weights)
        return lambda: table.log_prob(z)

    def bound(k: int) -> Callable:
        model = untrained(NETWORKS[0])
        y = torch.zeros(100, SIDE**2, dtype=torch.uint8)
        return lambda: importance_weighted_bound(model, y, k, 0)

    def width(units: int) -> Callable:
        model = untrained(("", [units, units], "tanh", 50))
        y = torch.zeros(100, SIDE**2, dtype=torch.uint8)
        return lambda: importance_weighted_bound(model, y, 20, 0)

    part = lambda number: part_of(tell, number, 7)
    return [
        fitted("exact q_agg at all points", "n", sizes.aggregates, q_agg, 2, part(0)),
        fitted(f"exact q_agg, n = {some}", "z", sizes.latents, dimensions, 1, part(1)),
        fitted("L_K of 100 images", "K", sizes.bounds, bound, 1, part(2)),
        fitted("L_20 of 100 images", "units of a layer", sizes.widths, width, 2, part(3)),
        fitted_memory("peak memory of surgery", "n", sizes.surgeries, surgery_of, 1, part(4)),
        fitted_memory("peak memory of L_K of 100 images", "K", sizes.peaks, bound_of, 0, part(5)),
        *sweep_growth(sizes.runs, part(6)),
    ]
