"""The manifest of a sweep: the keys of its runs, in the order of its tables."""

import json
from pathlib import Path
from typing import NotRequired, TypedDict

from bench.errors import InputError
from bench.records.record import has_record
from bench.records.schema import is_key
from bench.system.files import MIB, read_text, write_atomically

# A manifest of a million runs has 22 MB.
LONGEST_MANIFEST = 32 * MIB


class Manifest(TypedDict):
    """What manifest.json holds; ``single_runs`` is true where `bench train` wrote it."""

    sweep: str
    keys: list[str]
    single_runs: NotRequired[bool]


def manifest_path(directory: Path) -> Path:
    return directory / "manifest.json"


def write_manifest(directory: Path, keys: list[str]) -> None:
    """Write the keys of a sweep's runs, in the order of its tables."""
    text = json.dumps({"sweep": directory.name, "keys": keys}, indent=1) + "\n"
    path = manifest_path(directory)
    try:
        is_written = read_text(path, LONGEST_MANIFEST) == text
    except (OSError, ValueError):
        is_written = False
    if not is_written:
        write_atomically(path, text)


def read_manifest(directory: Path) -> list[str]:
    """Return the keys of a sweep's runs. Raises InputError if the folder has no sweep."""
    try:
        keys = json.loads(read_text(manifest_path(directory), LONGEST_MANIFEST))["keys"]
        if not isinstance(keys, list) or not all(map(is_key, keys)):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"results: no sweep in {directory} (no readable manifest.json)") from None
    if len(set(keys)) < len(keys):
        raise InputError(f"report: {manifest_path(directory)} names a run more than once")
    return keys


def missing_keys(directory: Path) -> list[str]:
    """Return the keys of a sweep's runs that have no record."""
    keys = read_manifest(directory)
    return [key for key in keys if not has_record(directory / "runs", key)]
