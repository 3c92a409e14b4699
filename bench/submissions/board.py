"""Boards: rows of submissions beside those of a sweep, in versions that are frozen one by one."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd

from bench.errors import InputError
from bench.records.record import read_record, write_record
from bench.records.schema import is_key
from bench.records.tables import csv_text, read_runs
from bench.records.types import Record, TableRecord
from bench.report.package import SCHEMA_VERSION
from bench.report.rebuilt import records_beside, records_of
from bench.report.reduce import leaderboard_table
from bench.submissions.contents import LONGEST_WEIGHTS, copy
from bench.submissions.description import Submission, read_submission
from bench.submissions.numbers import TaskFacts, checked_records, facts_of, named
from bench.system.files import MIB, is_there, read_bytes, read_text, write_atomically

# What stands behind a row. The last is of the board's own runs.
LEVELS = ("claimed", "evaluated", "retrained")
OWN = "own run"
VERSION = re.compile(r"leaderboard-v([1-9]\d{0,5})\.json")
LONGEST = 64 * MIB


@dataclass(frozen=True)
class Entry:
    """A submission of a board's version.

    Attributes:
        folder: Its folder, inside the board's.
        sha256: Hash of its submission.yaml.
        level: One of ``LEVELS``.
        isolation: What was prevented while its numbers were made; empty where nothing was run.
    """

    folder: str
    sha256: str
    level: str
    isolation: str = ""


@dataclass(frozen=True)
class Version:
    """A version of a board: leaderboard-vN.csv, and leaderboard-vN.json beside it.

    Attributes:
        number: N.
        frozen: Whether it is closed for ever.
        entries: Its submissions.
        base: Keys of the runs made here that it has.
        csv_sha256: Hash of its table.
        columns: Version of the table's columns.
    """

    number: int
    frozen: bool = False
    entries: tuple[Entry, ...] = ()
    base: tuple[str, ...] = ()
    csv_sha256: str = ""
    columns: str = SCHEMA_VERSION

    @property
    def name(self) -> str:
        return f"leaderboard-v{self.number}"


def read_versions(board: Path) -> list[Version]:
    """Return the versions of a board, the oldest first.

    Raises:
        InputError: One cannot be read, or a table is not the one that was written.
    """
    versions = []
    for path in board.glob("leaderboard-v*.json"):
        if VERSION.fullmatch(path.name):
            versions.append(read_version(path))
    return sorted(versions, key=lambda version: version.number)


def read_version(path: Path) -> Version:
    try:
        content = json.loads(read_text(path, LONGEST))
        entries = tuple(Entry(**entry) for entry in content.pop("entries"))
        version = Version(entries=entries, base=tuple(content.pop("base")), **content)
        is_right = f"{version.name}.json" == path.name and all(map(is_key, version.base))
        is_right &= all(re.fullmatch(r"submissions/[\w-]+", entry.folder) for entry in entries)
        if not is_right or any(entry.level not in LEVELS for entry in entries):
            raise ValueError("it is not of its name")
        table = read_bytes(path.with_suffix(".csv"), LONGEST)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"board: {path} cannot be read: {error}") from None
    if hashlib.sha256(table).hexdigest() != version.csv_sha256:
        raise InputError(
            f"board: {path.with_suffix('.csv')} is not the table that was written; put it back"
        )
    return version


def open_version(versions: Sequence[Version]) -> Version:
    """Return the version that rows are added to: a new one where the last is frozen, with its rows."""
    if not versions:
        return Version(1)
    last = versions[-1]
    if not last.frozen:
        return last
    return Version(last.number + 1, entries=last.entries)


def base_of(board: Path) -> tuple[list[TableRecord], pd.DataFrame | None]:
    """Return the records of the board's own runs, and their runs.csv; none without a sweep there."""
    if not is_there(board / "runs.csv"):
        return [], None
    runs = read_runs(board / "runs.csv")
    records: list[TableRecord] | None = cast(Any, records_beside(board / "runs.csv"))
    return (records_of(runs) if records is None else records), runs


def folder_of(submission: Submission) -> str:
    """Return the folder of a submission inside a board, which its content decides."""
    words = re.sub(r"[^a-z0-9]+", "-", submission.name.lower()).strip("-")[:40] or "model"
    return f"submissions/{words}-{submission.sha256[:12]}"


def added(
    board: Path,
    submission: Submission,
    made: tuple[str, list[Record], str],
) -> tuple[Version, pd.DataFrame]:
    """Add a submission to the open version of a board, and write it.

    Args:
        board: The board's folder.
        submission: The submission, whose numbers have been checked.
        made: The level, the records that were made here, and what was prevented meanwhile.

    Raises:
        InputError: The name has another row already, or the board cannot be read or written.
    """
    level, records, isolation = made
    version = open_version(read_versions(board))
    own, runs = base_of(board)
    entry = Entry(folder_of(submission), submission.sha256, level, isolation)
    kept = without_older(board, version, entry, submission, own)
    version = replace(version, entries=(*kept, entry), base=tuple(record["key"] for record in own))
    try:
        target = board / entry.folder
        for path in submission.files:
            if not (target / path).exists():
                copy(submission.folder / path, target / path, "submission", LONGEST_WEIGHTS)
        for record in records:
            write_record(target / level / "runs", record)
        table = table_of(board, version, own, runs)
        version = write_version(board, version, table)
    except OSError as error:
        raise InputError(f"board: {board} cannot be written: {error.strerror}") from None
    return version, table


def without_older(
    board: Path,
    version: Version,
    entry: Entry,
    submission: Submission,
    own: Sequence[TableRecord],
) -> list[Entry]:
    """Return the other entries of a version.

    Raises:
        InputError: A row has the submission's name and is not of a lower level of the same submission.
    """
    name = submission.task, submission.name
    if name in {(record["task"], record["model"]) for record in own}:
        raise InputError(f"name: the board has runs of its own of {submission.name} on {name[0]}")
    kept = []
    for older in version.entries:
        if older.sha256 == entry.sha256:
            if LEVELS.index(older.level) >= LEVELS.index(entry.level):
                raise InputError(f"submission: is in {version.name} already, as {older.level}")
            continue
        other = read_submission(board / older.folder, without_weights=True)
        if (other.task, other.name) == name:
            raise InputError(
                f"name: {version.name} has another row {name[1]} on {name[0]}; give another name"
            )
        kept.append(older)
    return kept


def table_of(
    board: Path, version: Version, own: Sequence[TableRecord], runs: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the table of a version: rows of the sweep and of submissions, ranked together.

    Raises:
        InputError: A submission beside the board is not the one that was added.
    """
    records = list(own)
    behind: dict[tuple[str, str], dict[str, str]] = {}
    facts: dict[str, TaskFacts] = {}
    for entry in version.entries:
        submission = read_submission(board / entry.folder, without_weights=True)
        if submission.sha256 != entry.sha256:
            raise InputError(f"board: {entry.folder} is not the submission that was added")
        task = submission.task
        if task not in facts:
            facts[task] = facts_of(task, runs)  # may load the images
        records += rows_of(board, entry, submission, facts[task])
        behind[task, submission.name] = {
            "verification": entry.level,
            "submission": entry.folder,
            "licence": submission.licence,
        }
    table = leaderboard_table(records, board.name)
    for column in ("verification", "submission", "licence"):
        empty = OWN if column == "verification" else ""
        names = zip(table["task"], table["model"])
        table[column] = [behind.get(name, {}).get(column, empty) for name in names]
    return table


def rows_of(
    board: Path, entry: Entry, submission: Submission, facts: TaskFacts
) -> list[TableRecord]:
    """Return the records that a submission's row is made of: those made here where there are some."""
    claimed = checked_records(submission, facts)
    if entry.level == "claimed":
        return claimed
    here = records_made(board, entry)
    return [
        named(here[record["seed"]], submission.name) if record["status"] == "ok" else record
        for record in claimed
    ]


def records_made(board: Path, entry: Entry) -> dict[int, Record]:
    """Return {seed: record that was made here} of an entry that is not claimed alone."""
    paths = sorted((board / entry.folder / entry.level / "runs").glob("*/record.json"))
    return {record["seed"]: record for record in map(read_record, paths)}


def write_version(board: Path, version: Version, table: pd.DataFrame) -> Version:
    """Write a version's table, its page and its description."""
    from bench.submissions.shown import page

    text = csv_text(table)
    version = replace(version, csv_sha256=hashlib.sha256(text.encode()).hexdigest())
    write_atomically(board / f"{version.name}.csv", text)
    write_atomically(board / f"{version.name}.html", page(version.name, table))
    write_description(board, version)
    return version


def write_description(board: Path, version: Version) -> None:
    content: Mapping[str, Any] = {**vars(version), "entries": [vars(e) for e in version.entries]}
    write_atomically(board / f"{version.name}.json", json.dumps(content, indent=1) + "\n")


def freeze(board: Path) -> Version:
    """Close the open version of a board. Raises InputError if there is none."""
    versions = read_versions(board)
    if not versions or versions[-1].frozen:
        raise InputError(f"board: {board} has no open version; `bench leaderboard add` opens one")
    version = replace(versions[-1], frozen=True)
    write_description(board, version)
    return version


def rescored(board: Path, number: int) -> pd.DataFrame:
    """Return a version's table made anew from the records beside it, by this version of the code.

    Raises:
        InputError: There is no such version, or runs that it had are not there any more.
    """
    path = board / f"leaderboard-v{number}.json"
    if not is_there(path):
        raise InputError(f"board: {board} has no version {number}")
    version = read_version(path)
    own, runs = base_of(board)
    kept = [record for record in own if record["key"] in version.base]
    if len(kept) < len(version.base):
        raise InputError(
            f"board: {len(version.base) - len(kept)} runs of {version.name} are not there"
        )
    return table_of(board, version, kept, runs)
