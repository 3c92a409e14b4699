"""A published leaderboard compared with one that is rebuilt from its records or its runs.csv."""

from collections.abc import Sequence
from math import isclose
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import InputError
from bench.records.columns import COMPARED, leaderboard_columns
from bench.records.manifest import manifest_path, read_manifest
from bench.records.record import has_record
from bench.records.row import METRICS, plugins_of
from bench.records.run_columns import POPULATION_STDERR
from bench.records.schema import LARGEST
from bench.records.tables import csv_text, parse_leaderboard, read_leaderboard
from bench.records.types import EstimateRecord, SlimRecord, TableRecord
from bench.report.reduce import leaderboard_table, load_sweep
from bench.system.files import is_there

# Cells are float64 that were written in full; only the order of sums over seeds may differ.
ROUNDING = 1e-9
# Task and model.
Name = tuple[str, str]
# A row of a table whose columns have been checked: each cell has its column's type, or is None.
PlainRow = dict[str, Any]


def altered_rows(leaderboard: Path, runs: pd.DataFrame) -> dict[Name, str]:
    """Return in words how rows of leaderboard.csv differ from their runs, by task and model.

    If all records of the sweep are beside it, the leaderboard is rebuilt from them and must have the
    same rows. Otherwise it is rebuilt from runs.csv, which does not say which models bound nothing,
    so a model without a row is not an error. A row without any run makes all rows doubtful.

    Args:
        leaderboard: The file.
        runs: The runs.csv beside it, as ``read_runs`` returns it.

    Raises:
        InputError: A file cannot be read, a record contradicts itself, or runs.csv has numbers that
            no run has.
    """
    table = read_leaderboard(leaderboard)
    published = rows_of(table)
    # Earlier versions of the columns compared otherwise; what such a table says of ranks is not checked.
    skipped: tuple[str, ...] = ()
    if table["importance_data"].isna().all():
        skipped = COMPARED
    if table["survivors_only"].isna().all():
        skipped += (POPULATION_STDERR.name,)
    source = "the records give"
    records: Sequence[TableRecord] | None = records_beside(leaderboard)
    if records is None:
        source = "runs.csv gives"
        records = [r for r in records_of(runs) if (r["task"], r["model"]) in published]
    board = leaderboard_table(records, str(runs["sweep"].iloc[0]))
    rebuilt = rows_of(parse_leaderboard(csv_text(board).encode(), "leaderboard.csv"))
    all_names = set(zip(runs["task"], runs["model"]))
    for task, model in published.keys() - rebuilt.keys():
        return dict.fromkeys(all_names, f"no run has its row {task} {model}")
    wrong = {name: f"no row, where {source} one" for name in rebuilt.keys() - published.keys()}
    for name, rows in published.items():
        if len(rows) > 1:
            wrong[name] = f"{len(rows)} rows, where {source} one"
        elif found := difference(rows[0], rebuilt[name][0], skipped):
            wrong[name] = f"{found[0]} is {found[1]}, where {source} {found[2]}"
    return wrong


def rows_of(board: pd.DataFrame) -> dict[Name, list[PlainRow]]:
    """Return the rows of a leaderboard by task and model."""
    rows: dict[Name, list[PlainRow]] = {}
    for row in plain_rows(board):
        rows.setdefault((str(row["task"]), str(row["model"])), []).append(row)
    return rows


def plain_rows(table: pd.DataFrame) -> list[PlainRow]:
    """Return the rows of a table, empty cells as None."""
    return [
        {name: None if pd.isna(cell) else cell for name, cell in row.items()}
        for row in table.to_dict("records")
    ]


def difference(
    published: PlainRow, rebuilt: PlainRow, skipped: Sequence[str] = ()
) -> tuple[str, object, object] | None:
    """Return the first column in which two rows differ, with both cells; None if they agree."""
    for column in leaderboard_columns():
        if column.name in skipped:
            continue
        old, new = published[column.name], rebuilt[column.name]
        if old is None or new is None or column.type != "number":
            is_same = old == new
        else:
            is_same = isclose(old, new, rel_tol=ROUNDING, abs_tol=ROUNDING)
        if not is_same:
            return column.name, shown(old), shown(new)
    return None


def shown(cell: object) -> object:
    return "empty" if cell is None else cell


def records_beside(table: Path) -> list[SlimRecord] | None:
    """Return the records of a table's sweep; None if there is no manifest, or a record is missing."""
    folder = table.parent
    if not is_there(manifest_path(folder)):
        return None
    if not all(has_record(folder / "runs", key) for key in read_manifest(folder)):
        return None
    return load_sweep(folder)


def records_of(runs: pd.DataFrame) -> list[TableRecord]:
    """Return what a leaderboard needs of the record of each run in runs.csv.

    Raises:
        InputError: A run that ended well has no bits/dim, or a number is beyond any run's.
    """
    tests = runs[runs["split"] == "test"]
    is_ok = tests["status"] == "ok"
    is_wrong = tests["bits_per_dim"].isna() | tests[list(METRICS)].abs().gt(LARGEST).any(axis=1)
    for key in tests["key"][is_ok & is_wrong]:
        raise InputError(f"runs.csv: run {key} has no bits_per_dim, or a number that no run has")
    return [record_of(row) for row in plain_rows(tests)]


def record_of(row: PlainRow) -> TableRecord:
    """Return what a leaderboard needs of a run's record, from its row of runs.csv for test."""
    estimates: dict[str, EstimateRecord] = {
        name: {"value": row[name]} for name in METRICS if row[name] is not None
    }
    if "bits_per_dim" in estimates:
        estimates["bits_per_dim"]["stderr"] = row["bits_per_dim_stderr"]
    if "log_likelihood" in estimates:
        estimates["log_likelihood"]["samples"] = row["importance_samples"]
        estimates["log_likelihood"]["n"] = row["importance_data"]
        estimates["log_likelihood"]["stderr_data"] = row[POPULATION_STDERR.name]
    return {
        "key": row["key"],
        "task": row["task"],
        "model": row["model"],
        "seed": row["seed"],
        "status": row["status"],
        # Exact numbers have no samples.
        "bound": "exact" if row["importance_samples"] == 0 else "upper",
        "config": {"trainer": {"beta": row["beta"]}} | plugins_of(row["plugin"]),
        "data": {
            "dimensions": row["dimensions"],
            "levels": row["levels"],
            "sizes": {"test": row["n"]},
            "payload_sha256": {},
            "split_sha256": "",
            "images_sha256": row["data_sha256"] or "",
        },
        "environment": {"commit": row["commit"]},
        "timing": {},
        "metrics": {"test": estimates},
    }
