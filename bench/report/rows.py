"""Rows of published tables: found by their key or by task and model, and how to cite them."""

import io
import shlex
from pathlib import Path

import pandas as pd

from bench import __version__
from bench.errors import InputError
from bench.files import MIB, is_there, read_bytes
from bench.printing import number
from bench.record_schema import is_hash, is_key, is_line, is_task
from bench.report.columns import RUN, runs_columns

LONGEST, LONGEST_HEADER = 512 * MIB, 2**14
# Columns of text by which rows are found and cited: what each cell must be.
TEXTS = {
    "key": (is_key, "key"),
    "task": (is_task, "name of a task"),
    "model": (is_line, "name of a model"),
    "sweep": (is_line, "name of a sweep"),
    "commit": (is_hash, "commit"),
    "data_sha256": (is_hash, "hash"),
}
MAY_BE_EMPTY = ("commit", "data_sha256")


def read_runs(path: Path) -> pd.DataFrame:
    """Read runs.csv.

    Args:
        path: The file, or a leaderboard.csv that it stands beside.

    Raises:
        InputError: It is not there, or is no runs.csv.
    """
    path = path.with_name("runs.csv")
    try:
        content = read_bytes(path, LONGEST)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a table of runs: {error}") from None
    return parse_runs(content, str(path))


def parse_runs(content: bytes, where: str) -> pd.DataFrame:
    """Return the table that a runs.csv holds.

    Args:
        content: The file's bytes.
        where: Its name, for messages.

    Raises:
        InputError: It has not the columns of a runs.csv, or a cell that none can have.
    """
    check_header(content, where)
    columns = {column.name: column for column in runs_columns()}
    texts = {name: str for name, column in columns.items() if column.type == "string"}
    try:
        # A model may be called NA.
        table = pd.read_csv(
            io.BytesIO(content),
            float_precision="round_trip",
            dtype=texts,
            na_values=[""],
            keep_default_na=False,
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: cannot be read as a table of runs: {error}") from None
    for name, (is_right, words) in TEXTS.items():
        cells = table.get(name, pd.Series(dtype=str)).drop_duplicates()
        cells = cells.dropna() if name in MAY_BE_EMPTY else cells
        if not cells.map(is_right).all():
            raise InputError(f"{where}: a cell of column {name} is no {words}")
    for name, column in columns.items():
        is_number = column.type in ("integer", "number")
        if is_number and name in table and table[name].dtype.kind not in "iuf":
            raise InputError(f"{where}: a cell of column {name} is no number")
    return table


def check_header(content: bytes, where: str) -> None:
    """Refuse a header that is none of a runs.csv, of which the reader of tables may take minutes."""
    names = content[:LONGEST_HEADER].partition(b"\n")[0].decode("utf-8", "replace").split(",")
    missing = [column.name for column in RUN if column.name not in names]
    if missing:
        raise InputError(f"{where}: is no runs.csv, it has no column {missing[0]}")
    if len(set(names)) < len(names):
        raise InputError(f"{where}: is no runs.csv, it has two columns of one name")


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
        if test.empty:
            raise InputError(f"row: {task}, {model} has no row of the test split")
        bits = ", ".join(number(value, 4) for value in test["bits_per_dim"].dropna())
        samples = " and ".join(f"{k:.0f}" for k in test["importance_samples"].dropna().unique())
        commits = " ".join(map(str, test["commit"].unique()))
        row = test["key"].iloc[0] if len(test) == 1 else shlex.quote(f"task={task} model={model}")
        lines += [
            "",
            f"  row      {task}, {model}, seed {', '.join(map(str, test['seed']))}",
            f"  result   {bits or 'none: failed'} bits/dim on test, K = {samples or '–'}",
            f"  commit   {commits}",
            f"  data     sha256 {' '.join(test['data_sha256'].dropna().unique())}",
            f"  key      {' '.join(test['key'])}",
            f"  again    git checkout {commits.split()[0]} && make setup",
            f"           .venv/bin/bench verify {directory}/runs.csv --row {row}",
        ]
    return "\n".join(lines)


def all_runs(results: Path) -> list[Path]:
    """Return every runs.csv under a folder of results."""
    paths = (folder / "runs.csv" for folder in results.glob("*"))
    return sorted(path for path in paths if is_there(path))
