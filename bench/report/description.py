"""Descriptions of a sweep's tables for programs: Data Package, Croissant, RO-Crate.

For tables whose records are elsewhere: ``python -m bench.report.description results/published/default``
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.records.tables import bytes_of, parse_runs
from bench.records.types import Environment
from bench.report.crate import crate
from bench.report.croissant import croissant
from bench.report.package import data_package
from bench.report.published_tables import PublishedTables
from bench.system.files import write_atomically
from bench.system.printing import say

CRATE = "ro-crate-metadata.json"
TABLES = ("runs.csv", "leaderboard.csv", "timings.csv", "leaderboard.tex")
NO_CRATE = f"{CRATE} is not written: neither the records nor the history tell when the runs were"


# A parameter for each part of a sweep that descriptions are made from.
def description_files(
    directory: Path,
    runs: pd.DataFrame,
    timings: pd.DataFrame,
    files: dict[str, str],
    environments: Sequence[Environment],
) -> dict[Path, str]:
    """Return {file: content} of all descriptions of a sweep's tables.

    There is no RO-Crate where the day of the runs is not known.

    Args:
        directory: The sweep's folder.
        runs: runs.csv.
        timings: timings.csv.
        files: {name: content} of ``TABLES``.
        environments: The distinct environments of its runs.
    """
    tables = PublishedTables(directory.name, runs, timings, files, environments)
    made = {"datapackage.json": data_package(tables), "croissant.json": croissant(tables)}
    whole = crate(replace(tables, files=files | made))
    made |= {} if whole is None else {CRATE: whole}
    return {directory / name: text for name, text in made.items()}


def describe(directory: Path) -> list[Path]:
    """Write the descriptions of tables that are there, without their records. Returns the files.

    Raises:
        InputError: A table or the datapackage.json, which has the environments, cannot be read.
    """
    try:
        files = {name: bytes_of(directory / name).decode() for name in TABLES}
        package = json.loads(bytes_of(directory / "datapackage.json"))
        environments: list[Environment] = package["environments"]
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{directory}: cannot be read as a sweep's tables: {error}") from None
    runs = parse_runs(files["runs.csv"].encode(), str(directory / "runs.csv"))
    timings = pd.read_csv(StringIO(files["timings.csv"]), dtype={"key": str})
    made = description_files(directory, runs, timings, files, environments)
    for path, content in made.items():
        write_atomically(path, content)
    return list(made)


if __name__ == "__main__":
    for path in describe(Path(sys.argv[1])):
        say(f"written: {path}")
