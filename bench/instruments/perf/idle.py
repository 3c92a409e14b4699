"""Sweeps of runs that do nothing, and their tables: the overhead of each run."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from bench.records.manifest import write_manifest
from bench.records.record import checksum, record_path
from bench.records.tables import csv_text
from bench.records.types import Record, TableRecord
from bench.report.costs import timings_table
from bench.report.reduce import leaderboard_table, runs_table
from bench.sweep.apart import EngineApart
from bench.sweep.driver import settle
from bench.sweep.jobs import Assigned
from bench.sweep.progress import SweepProgress
from bench.sweep.resources import Request


@dataclass(frozen=True)
class NoOperation:
    """A job that does nothing, and the record that it returns."""

    key: str
    record: Record


def no_operation(job: NoOperation, assigned: Assigned) -> Record:
    """Return the job's record, after one report of progress."""
    assigned.progress_of(job.key)("train", 0.5, "epoch 1/2")
    return job.record | {"notes": []}


def made_up(template: Record, runs: int) -> Iterator[Record]:
    """Yield copies of a real record, each with its own key, task, model and seed."""
    shared = template.copy()
    shared.pop("checksum", None)
    for number in range(runs):
        key = hashlib.sha256(str(number).encode()).hexdigest()[:16]
        task, model = f"task-{number % 10}", f"model-{number // 10 % 100:03}"
        yield shared | {"key": key, "task": task, "model": model, "seed": number // 1000}


def do_nothing(engine: EngineApart, records: list[Record], request: Request, folder: Path) -> None:
    """Do a sweep whose runs return these records, written and counted as in any sweep."""
    jobs = [NoOperation(record["key"], record) for record in records]
    labels, requests = {job.key: job.key for job in jobs}, {job.key: request for job in jobs}
    with redirect_stdout(StringIO()), SweepProgress(labels, 0, set(), folder) as progress:
        for finished in engine.map(jobs, requests, no_operation):
            if finished is not None:
                settle(finished, folder, progress)
            progress.update(engine.progress())


def write_made_up(template: Record, runs: int, folder: Path) -> None:
    """Write the records and the manifest of a sweep, without the overhead of atomic writes."""
    keys = []
    for record in made_up(template, runs):
        path = record_path(folder / "runs", record["key"])
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(record | {"checksum": checksum(record)}, sort_keys=True))
        keys.append(record["key"])
    write_manifest(folder, keys)


def table_texts(records: Sequence[TableRecord], sweep: str) -> list[str]:
    """Return leaderboard.csv, runs.csv and timings.csv."""
    tables = leaderboard_table(records, sweep), runs_table(records, sweep), timings_table(records)
    return [csv_text(table) for table in tables]
