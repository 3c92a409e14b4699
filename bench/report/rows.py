"""Rows of published tables: found by their key or by task and model, and how to cite them."""

from pathlib import Path

import pandas as pd

from bench import __version__
from bench.errors import InputError
from bench.report.columns import RUN


def read_runs(path: Path) -> pd.DataFrame:
    """Read runs.csv.

    Args:
        path: The file, or a leaderboard.csv that it stands beside.

    Raises:
        InputError: It is not there, or has not the columns of a runs.csv.
    """
    path = path.with_name("runs.csv")
    try:
        table = pd.read_csv(path, float_precision="round_trip")
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot be read as a table of runs: {reason}") from None
    missing = [column.name for column in RUN if column.name not in table.columns]
    if missing:
        raise InputError(f"{path}: is no runs.csv, it has no column {missing[0]}")
    return table


def chosen_rows(table: pd.DataFrame, row: str, where: str) -> pd.DataFrame:
    """Return the rows of runs.csv that ``row`` names.

    Args:
        table: runs.csv.
        row: A run's key or its beginning; or conditions such as "task=digits-17 model=realnvp",
            which a row of leaderboard.csv meets with all its seeds; empty is every row.
        where: The file, for messages.

    Raises:
        InputError: No row has it, or a condition names no column.
    """
    if not row.strip():
        return table
    if "=" not in row:
        found = table[table["key"].str.startswith(row.strip())]
        if found["key"].nunique() > 1:
            raise InputError(
                f"row: {found['key'].nunique()} runs begin with '{row}'; give more of it"
            )
    else:
        found = table
        # A model's name may hold spaces and equality signs of its own: only columns start a part.
        for name, value in conditions(row, list(table.columns)):
            found = found[found[name].astype(str) == value]
    if found.empty:
        raise InputError(f"row: no row of {where} has '{row}'")
    return found


def conditions(text: str, columns: list[str]) -> list[tuple[str, str]]:
    parts: list[tuple[str, str]] = []
    for word in text.split():
        name, equals, value = word.partition("=")
        if equals and name in columns:
            parts.append((name, value))
        elif parts:
            parts[-1] = (parts[-1][0], f"{parts[-1][1]} {word}")
        else:
            raise InputError(
                f"row: '{word}' is no condition column=value; columns are those of runs.csv"
            )
    return parts


def citation(table: pd.DataFrame, directory: Path) -> str:
    """Return what to cite for the runs of ``table``: software, commit, data, and how to redo them."""
    lines = [f"Likelihood Bench {__version__}, {directory}/leaderboard.csv"]
    for (task, model), group in table.groupby(["task", "model"], sort=False):
        test = group[group["split"] == "test"]
        bits = ", ".join(f"{value:.4f}" for value in test["bits_per_dim"].dropna())
        samples = " and ".join(f"{k:.0f}" for k in test["importance_samples"].dropna().unique())
        commits = " ".join(map(str, test["commit"].unique()))
        row = test["key"].iloc[0] if len(test) == 1 else f"'task={task} model={model}'"
        lines += [
            "",
            f"  row      {task}, {model}, seed {', '.join(map(str, test['seed']))}",
            f"  result   {bits or 'none: failed'} bits/dim on test, K = {samples or '–'}",
            f"  commit   {commits}",
            f"  data     sha256 {' '.join(test['data_sha256'].unique())}",
            f"  key      {' '.join(test['key'])}",
            f"  again    git checkout {commits.split()[0]} && make setup",
            f"           .venv/bin/bench verify {directory}/runs.csv --row {row}",
        ]
    return "\n".join(lines)


def all_runs(results: Path) -> list[Path]:
    """Return every runs.csv under a folder of results: of one's own sweeps, then of published ones."""
    return [path for own in ("*", "published/*") for path in sorted(results.glob(f"{own}/runs.csv"))]
