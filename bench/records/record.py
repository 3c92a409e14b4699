"""Records: one JSON file for each run, written once and checked whenever it is read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from bench.errors import InputError
from bench.records.images import with_images
from bench.records.schema import problem_of
from bench.records.types import Record
from bench.system.files import MIB, is_there, read_text, write_atomically

# The longest known record has a tenth of a MiB. Parsed, it takes up to thirty times its size in memory.
LONGEST = 16 * MIB


def record_path(runs: Path, key: str) -> Path:
    return runs / key / "record.json"


def has_record(runs: Path, key: str) -> bool:
    """Tell whether anything has the name of a run's record.

    This is the only way to ask: a record that is damaged, a FIFO or a folder is not a missing one,
    and reading it says what is wrong.
    """
    return is_there(record_path(runs, key))


def checksum(record: Mapping[str, object]) -> str:
    """Return the SHA-256 of a record's canonical JSON without its own checksum."""
    content = {name: value for name, value in record.items() if name != "checksum"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_record(runs: Path, record: Record) -> Path:
    """Write ``record`` under its key, with its checksum. Returns the path."""
    path = record_path(runs, record["key"])
    content = {**record, "checksum": checksum(record)}
    write_atomically(path, record_text(content))
    return path


def record_text(content: Mapping[str, object]) -> str:
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def read_record(path: Path) -> Record:
    """Read a record and check it. Raises InputError if it is damaged, altered or not a record."""
    try:
        record = with_images(json.loads(read_text(path, LONGEST)), path.parents[1])
        intact = record["checksum"] == checksum(record) and record["key"] == path.parent.name
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        raise InputError(f"record: {path} is damaged: {reason}") from None
    if not intact:
        raise InputError(f"record: {path} was altered: its checksum does not match its content")
    problem = problem_of(record)
    if problem is not None:
        raise InputError(f"record: {path} {problem}")
    return record


def read_records(runs: Path, keys: list[str]) -> list[Record]:
    """Read those records of ``keys`` that exist under ``runs``."""
    return [read_record(record_path(runs, key)) for key in keys if has_record(runs, key)]
