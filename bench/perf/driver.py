"""`bench perf`: measure everything, and write the table, the figure and the page of the docs."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from bench.fit import quiet
from bench.perf.estimators import aggregate_rows, evidence_rows
from bench.perf.growth import growth_rows
from bench.perf.interleaved import Comparison
from bench.perf.peers import peer_rows
from bench.perf.sweeps import sweep_rows
from bench.perf.training import training_rows
from bench.record import commit_label, cpu_model, write_atomically
from bench.report.reduce import csv_text

COLUMNS = ["what", "ours", "other", "ratio", "low", "high", "repeats", "machine"]


def perf(directory: Path, peers: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure speed and write perf.csv, growth.csv and perf.png into ``directory``.

    Args:
        directory: results/perf.
        peers: Python of the environment that `make perf-peers` made.

    Returns:
        perf.csv and growth.csv.
    """
    quiet()
    parts: dict[str, Callable[[], list[Comparison]]] = {
        "training": training_rows,
        "aggregated posterior": aggregate_rows,
        "importance-weighted bound": evidence_rows,
        "start-up and packing": sweep_rows,
        "peers": lambda: peer_rows(peers),
    }
    rows: list[Comparison] = []
    for name, measure in parts.items():
        started = time.monotonic()
        rows += measure()
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    machine = f"{cpu_model()}, {os.cpu_count()} cores"
    table = pd.DataFrame([asdict(row) | {"met": row.met} for row in rows])
    table = table.assign(machine=machine, commit=commit_label())
    table = table[[*COLUMNS, *[name for name in table.columns if name not in COLUMNS]]]
    started = time.monotonic()
    growth = pd.DataFrame([asdict(row) for row in growth_rows()]).assign(machine=machine)
    print(f"growth: {time.monotonic() - started:.0f} s", flush=True)
    write_atomically(directory / "perf.csv", csv_text(table))
    write_atomically(directory / "growth.csv", csv_text(growth))
    from bench.perf.figure import draw

    draw(table, directory / "perf.png")
    return table, growth


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
    from rich.console import Console
    from rich.table import Table

    shown = Table("what", "against", "ours", "other", "unit", "ratio", "95 %", "wanted")
    for row in table.itertuples():
        wanted = "" if pd.isna(row.target) else f"{row.target:g}"
        shown.add_row(
            row.what,
            row.against,
            f"{row.ours:.3g}",
            f"{row.other:.3g}",
            row.unit,
            f"{row.ratio:.2f}",
            f"{row.low:.2f} to {row.high:.2f}",
            wanted,
            style="red" if row.met is False else "",
        )
    Console(width=None if os.isatty(1) else 170).print(shown)
