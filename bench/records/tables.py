"""Rows of published tables, found by their key or by task and model."""

import io
from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.records.columns import Column, runs_columns
from bench.records.row import SPLITS, row_of
from bench.records.schema import KEY, is_hash, is_line, is_task
from bench.system.files import MIB, is_there, read_bytes

LONGEST, LONGEST_HEADER = 512 * MIB, 2**14
# Columns that came after the first tables.
ADDED = ("dirty",)
TYPES = {"string": str, "integer": "Int64", "number": "float64", "boolean": "boolean"}
# Columns of text by which rows are found and cited: what each cell must be.
TEXTS = {
    "task": (is_task, "name of a task"),
    "model": (is_line, "name of a model"),
    "sweep": (is_line, "name of a sweep"),
    "commit": (is_hash, "commit"),
    "data_sha256": (is_hash, "hash"),
}
MAY_BE_EMPTY = ("commit", "data_sha256")


def csv_text(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n")


def read_runs(path: Path) -> pd.DataFrame:
    """Read runs.csv.

    Args:
        path: The file, or a leaderboard.csv that it stands beside.

    Returns:
        The table with every column of today's, each of its own type: a hash of digits alone is text.

    Raises:
        InputError: It is not there, has not the columns of a runs.csv, or cells that are none of it.
    """
    path = path.with_name("runs.csv")
    return parse_runs(bytes_of(path), str(path))


def bytes_of(path: Path) -> bytes:
    """Return what is in a table's file. Raises InputError if it cannot be read."""
    try:
        return read_bytes(path, LONGEST)
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a table: {error}") from None


def parse_runs(content: bytes, where: str) -> pd.DataFrame:
    """Return the table that a runs.csv holds, as ``read_runs`` does.

    Args:
        content: The file's bytes.
        where: Its name, for messages.

    Raises:
        InputError: It has not the columns of a runs.csv, or cells that are none of it.
    """
    table = parse_table(content, where, runs_columns())
    for name in ADDED:
        if name not in table.columns:
            table[name] = pd.array([None] * len(table), dtype=TYPES["boolean"])
    is_run = table["key"].str.fullmatch(KEY.pattern).eq(True) & table["split"].isin(SPLITS)
    is_run &= table[["sweep", "task", "model", "status", "seed"]].notna().all(axis=1)
    is_run &= ~table.duplicated(["key", "split"], keep=False)
    if not is_run.all():
        line = int((~is_run).to_numpy().argmax()) + 2
        raise InputError(
            f"{where}: line {line} is no row of a run and split: it needs a key of 16 hexadecimal "
            f"digits, a sweep, task, model, seed and status, a split that is train or test, and to be "
            "the only one of that key and split"
        )
    for name, (is_right, words) in TEXTS.items():
        cells = table[name].drop_duplicates()
        cells = cells.dropna() if name in MAY_BE_EMPTY else cells
        if not cells.map(is_right).all():
            raise InputError(f"{where}: a cell of column {name} is no {words}")
    return table


def parse_table(content: bytes, where: str, columns: list[Column]) -> pd.DataFrame:
    """Return the table of a CSV, each column of its type. Raises InputError if it has others."""
    types = {column.name: TYPES[column.type] for column in columns}
    check_header(content, where, [name for name in types if name not in ADDED])
    try:
        # An empty cell alone is none: a model may be called None.
        table = pd.read_csv(
            io.BytesIO(content),
            float_precision="round_trip",
            dtype=types,
            keep_default_na=False,
            na_values=[""],
        )
    except (OSError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{where}: cannot be read as a table: {reason}") from None
    return table


def check_header(content: bytes, where: str, columns: list[str]) -> None:
    """Refuse a header of another table, of which the reader of tables may take minutes."""
    names = content[:LONGEST_HEADER].partition(b"\n")[0].decode("utf-8", "replace").split(",")
    missing = [name for name in columns if name not in names]
    if missing:
        raise InputError(f"{where}: is no {Path(where).name}, it has no column {missing[0]}")
    if len(set(names)) < len(names):
        raise InputError(f"{where}: is no {Path(where).name}, it has two columns of one name")


def altered_column(row: pd.Series, record: dict) -> str | None:
    """Return the first column in which a row of runs.csv is not what its record says, if any is.

    Args:
        row: The row, as ``read_runs`` returns it.
        record: The record of its run.
    """
    own = row_of(record, str(row["sweep"]), str(row["split"]))
    for name, value in own.items():
        told = row[name]
        if pd.isna(told) and (value is None or name in ADDED):
            continue
        if value is None or pd.isna(told) or told != value:
            return name
    return None


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


def all_runs(results: Path) -> list[Path]:
    """Return every runs.csv under a folder of results: of one's own sweeps, then of published ones."""
    own, published = sorted(results.glob("*")), sorted(results.glob("published/*"))
    return [path for folder in own + published if is_there(path := folder / "runs.csv")]
