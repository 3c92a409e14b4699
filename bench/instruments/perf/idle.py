"""Sweeps of runs that do nothing, and their tables: what each run costs beside its own work."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from bench.records.manifest import write_manifest
from bench.records.record import checksum, record_path
from bench.records.tables import csv_text
from bench.report.reduce import leaderboard_table, runs_table, timings_table
from bench.sweep.apart import EngineApart
from bench.sweep.driver import settle
from bench.sweep.progress import Progress
from bench.sweep.resources import Request


@dataclass(frozen=True)
class NoOperation:
    """A job that does nothing, and the record that it hands in."""

    key: str
    record: dict


def no_operation(job: NoOperation, board) -> dict:
    board.write.remote(job.key, "train", 0.5, "epoch 1/2")
    return job.record | {"notes": []}


def made_up(template: dict, runs: int) -> Iterator[dict]:
    """Yield copies of a real record, each under a key, task, model and seed of its own."""
    shared = {name: part for name, part in template.items() if name != "checksum"}
    for number in range(runs):
        key = hashlib.sha256(str(number).encode()).hexdigest()[:16]
        place = {"task": f"task-{number % 10}", "model": f"model-{number // 10 % 100:03}"}
        yield shared | place | {"key": key, "seed": number // 1000}


def do_nothing(engine: EngineApart, records: list[dict], request: Request, folder: Path) -> None:
    """Do a sweep whose runs hand in these records, written and counted as any others are."""
    jobs = [NoOperation(record["key"], record) for record in records]
    labels, requests = {job.key: job.key for job in jobs}, {job.key: request for job in jobs}
    with redirect_stdout(StringIO()), Progress(labels, 0, set(), folder) as progress:
        for finished in engine.map(jobs, requests, no_operation):
            if finished is not None:
                settle(finished, folder, progress)
            progress.update(engine.progress())


def write_made_up(template: dict, runs: int, folder: Path) -> None:
    """Write the records and the manifest of a sweep, without the time that safe writing takes."""
    keys = []
    for record in made_up(template, runs):
        path = record_path(folder / "runs", record["key"])
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(record | {"checksum": checksum(record)}, sort_keys=True))
        keys.append(record["key"])
    write_manifest(folder, keys)


def table_texts(records: list[dict], sweep: str) -> list[str]:
    """Return leaderboard.csv, runs.csv and timings.csv."""
    tables = leaderboard_table(records, sweep), runs_table(records, sweep), timings_table(records)
    return [csv_text(table) for table in tables]
