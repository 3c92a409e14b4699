"""`bench perf`: measure everything, and write the table, the figure and the page of the docs."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from bench.instruments.perf.estimators import aggregate_rows, evidence_rows
from bench.instruments.perf.growth import growth_rows
from bench.instruments.perf.peers import peer_rows
from bench.instruments.perf.sizes import Sizes, Tell
from bench.instruments.perf.sweeps import sweep_rows
from bench.instruments.perf.training import training_rows
from bench.records.provenance import commit_label, cpu_model
from bench.records.tables import csv_text
from bench.settings import Progress
from bench.system.files import write_atomically
from bench.system.machine import usable_cores
from bench.system.printing import print_table as print_cells
from bench.system.printing import say
from bench.training.fit import silence_lightning

COLUMNS = ["what", "ours", "other", "ratio", "low", "high", "repeats", "machine"]


def perf(
    directory: Path, peers: Path, sizes: Sizes, progress: Progress
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure speed and write perf.csv, growth.csv and perf.png into ``directory``.

    Args:
        directory: results/perf.
        peers: Python of the environment that `make perf-peers` made.
        sizes: How much is measured.
        report: Is told how far it is.

    Returns:
        perf.csv and growth.csv.
    """
    silence_lightning()
    peers_here = lambda sizes, tell: peer_rows(peers, sizes, tell)
    # (part, its share of the time on two cores, what measures it)
    parts: list[tuple[str, float, Callable[[Sizes, Tell], list]]] = [
        ("training", 0.37, training_rows),
        ("aggregated posterior", 0.06, aggregate_rows),
        ("importance-weighted bound", 0.02, evidence_rows),
        ("start-up and packing", 0.08, sweep_rows),
        ("peers", 0.33, peers_here),
        ("growth", 0.14, growth_rows),
    ]
    rows, before = {}, 0.0
    for name, weight, measure in parts:
        started = time.monotonic()
        rows[name] = measure(sizes, share_of(progress, name, before, weight))
        before += weight
        say(f"{name}: {time.monotonic() - started:.0f} s")
    machine = f"{cpu_model()}, {usable_cores()} cores"
    growth = pd.DataFrame([asdict(row) for row in rows.pop("growth")]).assign(machine=machine)
    compared = [row for part in rows.values() for row in part]
    table = pd.DataFrame([asdict(row) | {"met": row.met} for row in compared])
    table = table.assign(machine=machine, commit=commit_label())
    table = table[[*COLUMNS, *[name for name in table.columns if name not in COLUMNS]]]
    write_atomically(directory / "perf.csv", csv_text(table))
    write_atomically(directory / "growth.csv", csv_text(growth))
    from bench.instruments.perf.figure import draw

    draw(table, directory / "perf.png")
    return table, growth


def share_of(progress: Progress, name: str, before: float, weight: float) -> Tell:
    """Return what reports the share of a part as one of the whole."""
    return lambda share, text: progress(name, before + weight * share, text)


def markdown(table: pd.DataFrame) -> str:
    """Return perf.csv as a table in Markdown; what was wanted and is not reached is bold."""
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
    lines = ["| what | grows with | from | to | exponent | expected | at the largest |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for row in growth.itertuples():
        lines.append(
            f"| {row.what} | {row.size} | {row.smallest} | {row.largest} | {row.exponent:.2f} "
            f"| {row.expected:g} | {row.at_largest:.3g} {row.quantity} |"
        )
    return "\n".join([*lines, ""])


def print_table(table: pd.DataFrame) -> None:
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
