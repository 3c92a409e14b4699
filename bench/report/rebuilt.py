"""What a published leaderboard says, against one that is built anew from its records or runs."""

from math import isclose
from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.records.columns import leaderboard_columns
from bench.records.manifest import manifest_path, read_manifest
from bench.records.record import has_record
from bench.records.row import METRICS
from bench.records.schema import LARGEST
from bench.records.tables import bytes_of, csv_text, parse_table
from bench.report.reduce import leaderboard_table, load_sweep

# A cell is a float64 that was written in full; sums over seeds may come in another order.
ROUNDING = 1e-9
# Task and model.
Name = tuple[str, str]


def altered_rows(leaderboard: Path, runs: pd.DataFrame) -> dict[Name, str]:
    """Return what rows of leaderboard.csv say that their runs do not, in words, by task and model.

    Where all records of the sweep are beside it, the leaderboard is built from these, and must have
    the same rows. Else it is built from runs.csv, which does not say which models bound nothing: a
    model without a row claims nothing. A row that no run has puts every other in doubt.

    Args:
        leaderboard: The file.
        runs: runs.csv beside it, as ``read_runs`` returns it.

    Raises:
        InputError: A file cannot be read, a record contradicts itself, or runs.csv has numbers that
            no run has.
    """
    told = rows_of(parse_board(bytes_of(leaderboard), str(leaderboard)))
    sweep = str(runs["sweep"].iloc[0])
    gives, records = "the records give", records_beside(leaderboard)
    if records is None:
        gives, records = "runs.csv gives", [r for r in records_of(runs) if name_of(r) in told]
    board = leaderboard_table(records, sweep)
    built = rows_of(parse_board(csv_text(board).encode(), "leaderboard.csv"))
    everyone = set(zip(runs["task"], runs["model"]))
    for task, model in told.keys() - built.keys():
        return dict.fromkeys(everyone, f"no run has its row {task} {model}")
    wrong = {name: f"no row, where {gives} one" for name in built.keys() - told.keys()}
    for name, rows in told.items():
        if len(rows) > 1:
            wrong[name] = f"{len(rows)} rows, where {gives} one"
        elif words := difference(rows[0], built[name][0]):
            wrong[name] = f"{words[0]} is {words[1]}, where {gives} {words[2]}"
    return wrong


def parse_board(content: bytes, where: str) -> pd.DataFrame:
    return parse_table(content, where, leaderboard_columns())


def rows_of(board: pd.DataFrame) -> dict[Name, list[dict]]:
    """Return the rows of a leaderboard by task and model, empty cells as None."""
    rows: dict[Name, list[dict]] = {}
    for row in plain_rows(board):
        rows.setdefault(name_of(row), []).append(row)
    return rows


def plain_rows(table: pd.DataFrame) -> list[dict]:
    return [
        {name: None if pd.isna(cell) else cell for name, cell in row.items()}
        for row in table.to_dict("records")
    ]


def name_of(row: dict) -> Name:
    return str(row["task"]), str(row["model"])


def difference(told: dict, built: dict) -> tuple[str, object, object] | None:
    """Return the first column in which two rows differ, with both cells; None if none does."""
    for column in leaderboard_columns():
        old, new = told[column.name], built[column.name]
        if old is None or new is None or column.type != "number":
            is_same = old == new
        else:
            is_same = isclose(old, new, rel_tol=ROUNDING, abs_tol=ROUNDING)
        if not is_same:
            return column.name, show(old), show(new)
    return None


def show(cell: object) -> object:
    return "empty" if cell is None else cell


def records_beside(table: Path) -> list[dict] | None:
    """Return the records of the sweep that a table belongs to; None unless all of them are there."""
    folder = table.parent
    if not manifest_path(folder).is_file():
        return None
    if not all(has_record(folder / "runs", key) for key in read_manifest(folder)):
        return None
    return load_sweep(folder)


def records_of(runs: pd.DataFrame) -> list[dict]:
    """Return of each run in runs.csv what a leaderboard needs of its record.

    Raises:
        InputError: A run that ended well has no bits/dim, or a number is beyond any run's.
    """
    tests = runs[runs["split"] == "test"]
    is_ok = tests["status"] == "ok"
    is_wrong = tests["bits_per_dim"].isna() | tests[list(METRICS)].abs().gt(LARGEST).any(axis=1)
    for key in tests["key"][is_ok & is_wrong]:
        raise InputError(f"runs.csv: run {key} has no bits_per_dim, or a number that no run has")
    return [record_of(row) for row in plain_rows(tests)]


def record_of(row: dict) -> dict:
    metrics = {name: {"value": row[name]} for name in METRICS}
    metrics["bits_per_dim"]["stderr"] = row["bits_per_dim_stderr"]
    metrics["log_likelihood"]["samples"] = row["importance_samples"]
    metrics["log_likelihood"]["n"] = row["importance_data"]
    sizes = {"test": row["n"]}
    return {name: row[name] for name in ("key", "task", "model", "seed", "status")} | {
        # Exact numbers have no samples.
        "bound": "exact" if row["importance_samples"] == 0 else "upper",
        "config": {"trainer": {"beta": row["beta"]}},
        "data": {
            "dimensions": row["dimensions"],
            "levels": row["levels"],
            "sizes": sizes,
            "payload_sha256": {},
            "split_sha256": None,
        },
        "environment": {},
        "metrics": {"test": metrics},
    }
