"""`bench perf` measures speed and growth, and writes the tables and the figure."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd

from bench.instruments.perf.annealing import annealing_rows
from bench.instruments.perf.estimators import aggregate_rows, evidence_rows
from bench.instruments.perf.growth import growth_rows
from bench.instruments.perf.interleaved import Comparison
from bench.instruments.perf.lightning_loop import lightning_rows
from bench.instruments.perf.local_optimization import optimization_rows
from bench.instruments.perf.peers import peer_rows
from bench.instruments.perf.sizes import Sizes
from bench.instruments.perf.sweeps import sweep_rows
from bench.instruments.perf.training import training_rows
from bench.instruments.progress import PartProgress, split_progress
from bench.records.provenance import commit_label, cpu_model
from bench.records.tables import csv_text
from bench.settings import Progress
from bench.system.files import write_atomically
from bench.system.machine import usable_cores
from bench.system.printing import print_table as print_cells
from bench.system.printing import say
from bench.training.fit import silence_lightning

# They come first in perf.csv.
COLUMNS = ["what", "ours", "other", "ratio", "low", "high", "repeats", "machine"]


def perf(
    directory: Path, peers: Path, sizes: Sizes, progress: Progress
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure speed and write perf.csv, growth.csv and perf.png into ``directory``.

    Args:
        directory: results/perf.
        peers: Python of the environment that `make perf-peers` made.
        sizes: How much work is measured.
        progress: Called with the part that is being measured and the share of all that is done.

    Returns:
        perf.csv and growth.csv.
    """
    silence_lightning()
    # (part, its share of the time on two cores, its function)
    comparisons: list[tuple[str, float, Callable[[Sizes, PartProgress], list[Comparison]]]] = [
        ("training", 0.36, training_rows),
        ("steps at once", 0.05, lightning_rows),
        ("aggregated posterior", 0.06, aggregate_rows),
        ("importance-weighted bound", 0.02, evidence_rows),
        ("local optimization", 0.01, optimization_rows),
        ("annealing", 0.03, annealing_rows),
        ("start-up and packing", 0.08, sweep_rows),
        ("peers", 0.29, partial(peer_rows, peers)),
    ]
    names = [*(name for name, _, _ in comparisons), "growth"]
    weights = [*(weight for _, weight, _ in comparisons), 0.14]
    # Each part reports under its own name.
    parts = [split_progress(partial(progress, name), weights)[n] for n, name in enumerate(names)]
    compared = []
    for (name, _, measure), part in zip(comparisons, parts):
        with reported_time(name):
            compared += measure(sizes, part)
    with reported_time("growth"):
        grown = growth_rows(sizes, parts[-1])
    machine = f"{cpu_model()}, {usable_cores()} cores"
    growth = pd.DataFrame([asdict(row) for row in grown]).assign(machine=machine)
    table = pd.DataFrame([asdict(row) | {"met": row.met} for row in compared])
    table = table.assign(machine=machine, commit=commit_label())
    table = table[[*COLUMNS, *[name for name in table.columns if name not in COLUMNS]]]
    write_atomically(directory / "perf.csv", csv_text(table))
    write_atomically(directory / "growth.csv", csv_text(growth))
    # Imports matplotlib, which chooses its backend then.
    from bench.instruments.perf.figure import draw

    draw(table, directory / "perf.png")
    return table, growth


@contextmanager
def reported_time(name: str) -> Iterator[None]:
    """Print how long a part took."""
    started = time.monotonic()
    yield
    say(f"{name}: {time.monotonic() - started:.0f} s")


def markdown(table: pd.DataFrame) -> str:
    """Return perf.csv as a table in Markdown, with ratios below their target in bold."""
    lines = [
        "| what | against | ours | other | ratio | 95 % | wanted |",
        "|---|---|---:|---:|---:|---|---:|",
    ]
    for row in table.itertuples():
        ratio = f"**{row.ratio:.2f}**" if row.met is False else f"{row.ratio:.2f}"
        wanted = "" if pd.isna(row.target) else f"{row.target:.3g}"
        lines.append(
            f"| {row.what} | {row.against} | {row.ours:.3g} {row.unit} | {row.other:.3g} | {ratio} "
            f"| {row.low:.2f} to {row.high:.2f} | {wanted} |"
        )
    return "\n".join([*lines, ""])


def growth_markdown(growth: pd.DataFrame) -> str:
    """Return growth.csv as a table in Markdown."""
    lines = ["| what | grows with | from | to | exponent | expected | at the largest |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for row in growth.itertuples():
        lines.append(
            f"| {row.what} | {row.size} | {row.smallest} | {row.largest} | {row.exponent:.2f} "
            f"| {row.expected:g} | {row.at_largest:.3g} {row.quantity} |"
        )
    return "\n".join([*lines, ""])


def print_table(table: pd.DataFrame) -> None:
    """Print perf.csv, with ratios below their target in red."""
    rows = []
    for row in table.itertuples():
        wanted = "" if pd.isna(row.target) else f"{row.target:g}"
        cells = [
            row.what,
            row.against,
            f"{row.ours:.3g}",
            f"{row.other:.3g}",
            row.unit,
            f"{row.ratio:.2f}",
            f"{row.low:.2f} to {row.high:.2f}",
            wanted,
        ]
        rows.append(cells)
    headings = ["what", "against", "ours", "other", "unit", "ratio", "95 %", "wanted"]
    missed = {position for position, met in enumerate(table["met"]) if met is False}
    print_cells("speed", headings, rows, texts={0, 1, 4}, red=missed)
