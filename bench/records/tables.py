"""Published tables: read, checked, and searched for rows by key or by task and model."""

import io
from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.records.columns import (
    added_columns,
    added_to_leaderboard,
    leaderboard_columns,
    runs_columns,
)
from bench.records.row import row_of
from bench.records.run_columns import Column
from bench.records.schema import KEY, is_hash, is_line, is_plugins, is_task
from bench.records.types import SPLITS, TableRecord
from bench.system.files import MIB, is_there, read_bytes

LONGEST, LONGEST_HEADER = 512 * MIB, 2**14
# Columns that were added after the first tables.
ADDED = added_columns()
TYPES = {"string": str, "integer": "Int64", "number": "float64", "boolean": "boolean"}
# Columns of text by which rows are found and cited: the check of a cell, and its words for messages.
TEXTS = {
    "task": (is_task, "name of a task"),
    "model": (is_line, "name of a model"),
    "sweep": (is_line, "name of a sweep"),
    "commit": (is_hash, "commit"),
    "data_sha256": (is_hash, "hash"),
    "payload_sha256": (is_hash, "hash"),
    "device": (is_line, "name of a device"),
    "plugin": (is_plugins, "list of plugins"),
}
MAY_BE_EMPTY = ("commit", "data_sha256", "payload_sha256", "device", "plugin")


def csv_text(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n")


def read_runs(path: Path) -> pd.DataFrame:
    """Read runs.csv.

    Args:
        path: The file, or the leaderboard.csv beside it.

    Returns:
        The table with all present columns, each of its own type: a hash of digits alone is text.

    Raises:
        InputError: It does not exist, or has other columns or cells than a runs.csv has.
    """
    path = path.with_name("runs.csv")
    return parse_runs(bytes_of(path), str(path))


def read_leaderboard(path: Path) -> pd.DataFrame:
    """Read a leaderboard.csv. Raises InputError if it cannot be read or lacks a column."""
    return parse_leaderboard(bytes_of(path), str(path))


def parse_leaderboard(content: bytes, where: str) -> pd.DataFrame:
    """Return the table of a leaderboard.csv, as ``read_leaderboard`` does."""
    return parse_table(content, where, leaderboard_columns(), ADDED | added_to_leaderboard())


def bytes_of(path: Path) -> bytes:
    """Return the content of a table's file. Raises InputError if it cannot be read."""
    try:
        return read_bytes(path, LONGEST)
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a table: {error}") from None


def parse_runs(content: bytes, where: str) -> pd.DataFrame:
    """Return the table of a runs.csv, as ``read_runs`` does.

    Args:
        content: The file's bytes.
        where: Its name, for messages.

    Raises:
        InputError: It has other columns or cells than a runs.csv has.
    """
    table = parse_table(content, where, runs_columns())
    is_run = table["key"].str.fullmatch(KEY.pattern).eq(True) & table["split"].isin(SPLITS)
    is_run &= table[["sweep", "task", "model", "status", "seed"]].notna().all(axis=1)
    is_run &= ~table.duplicated(["key", "split"], keep=False)
    if not is_run.all():
        line = int((~is_run).to_numpy().argmax()) + 2
        raise InputError(
            f"{where}: line {line} is not a row of a run and split: it needs a key of 16 hexadecimal "
            "digits, a sweep, task, model, seed and status, and a split that is train or test; no "
            "other row may have its key and split"
        )
    for name, (is_right, words) in TEXTS.items():
        cells = table[name].drop_duplicates()
        cells = cells.dropna() if name in MAY_BE_EMPTY else cells
        if not cells.map(is_right).all():
            raise InputError(f"{where}: a cell of column {name} is not a {words}")
    return table


def parse_table(
    content: bytes, where: str, columns: list[Column], added: set[str] = ADDED
) -> pd.DataFrame:
    """Return the table of a CSV, each column of its type. Raises InputError if it cannot be read so.

    Args:
        content: The file's bytes.
        where: Its name, for messages.
        columns: Those that it has.
        added: Names of those that older tables lack.
    """
    types = {column.name: TYPES[column.type] for column in columns}
    check_header(content, where, [name for name in types if name not in added])
    try:
        # Only an empty cell is a missing one: a model may be called None.
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
    missing = {
        name: pd.Series([None] * len(table), dtype=kind, index=table.index)
        for name, kind in types.items()
        if name not in table.columns
    }
    return pd.concat([table, pd.DataFrame(missing)], axis=1) if missing else table


def check_header(content: bytes, where: str, columns: list[str]) -> None:
    """Refuse another table by its header: pandas may take minutes to read an arbitrary file."""
    names = content[:LONGEST_HEADER].partition(b"\n")[0].decode("utf-8", "replace").split(",")
    missing = [name for name in columns if name not in names]
    if missing:
        raise InputError(f"{where}: is not a {Path(where).name}: it has no column {missing[0]}")
    if len(set(names)) < len(names):
        raise InputError(f"{where}: is not a {Path(where).name}: it has two columns of one name")


def altered_column(row: pd.Series, record: TableRecord) -> str | None:
    """Return the first column in which a row of runs.csv differs from its record; None if none does.

    Args:
        row: The row, as ``read_runs`` returns it.
        record: The record of its run.
    """
    for name, value in row_of(record, str(row["sweep"]), row["split"]).items():
        cell = row[name]
        if pd.isna(cell) and (value is None or name in ADDED):
            continue
        if value is None or pd.isna(cell) or cell != value:
            return name
    return None


def chosen_rows(table: pd.DataFrame, row: str, where: str) -> pd.DataFrame:
    """Return the rows of runs.csv that ``row`` names.

    Args:
        table: runs.csv.
        row: A run's key or its beginning; or conditions such as "task=digits-17 model=realnvp",
            which select a row of leaderboard.csv with all its seeds; empty selects every row.
        where: The file, for messages.

    Raises:
        InputError: No row matches, several runs have the beginning of the key, or a condition does
            not name a column.
    """
    if not row.strip():
        return table
    if "=" not in row:
        found = table[table["key"].str.startswith(row.strip())]
        if found["key"].nunique() > 1:
            raise InputError(
                f"row: {found['key'].nunique()} runs begin with '{row}'; give more digits"
            )
    else:
        found = table
        for name, value in conditions(row, table):
            found = found[found[name].astype(str) == value]
    if found.empty:
        raise InputError(f"row: no row of {where} matches '{row}'")
    return found


def conditions(text: str, table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (column, value) of each condition. Raises InputError if one does not name a column.

    A model's name may hold spaces and equality signs, as in "model=bernoulli_vae prior=Mixture". So a
    word starts a condition only if it names a column and the value before it is whole: it occurs in
    its column.
    """
    parts: list[tuple[str, str]] = []
    for word in text.split():
        name, equals, value = word.partition("=")
        column, before = parts[-1] if parts else ("", "")
        whole = not parts or (table[column].astype(str) == before).any()
        goes_on = parts and table[column].astype(str).str.startswith(f"{before} {word}").any()
        if equals and name in table.columns and (whole or not goes_on):
            parts.append((name, value))
        elif parts:
            parts[-1] = (column, f"{before} {word}")
        else:
            raise InputError(
                f"row: '{word}' is not a condition column=value with a column of runs.csv"
            )
    return parts


def all_runs(results: Path) -> list[Path]:
    """Return every runs.csv under a folder of results: first of its sweeps, then of published ones."""
    own, published = sorted(results.glob("*")), sorted(results.glob("published/*"))
    return [path for folder in own + published if is_there(path := folder / "runs.csv")]
