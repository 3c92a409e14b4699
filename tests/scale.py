"""How the engine and the reduction behave with very many runs, of which none does anything.

python -m tests.scale --part engine --runs 10000 --gpus 64 --record RECORD.json
python -m tests.scale --part reduction --runs 100000 --record RECORD.json
"""

import argparse
import copy
import hashlib
import json
import resource
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from bench.record import checksum, read_record
from bench.report.reduce import (
    csv_text,
    leaderboard_table,
    load_sweep,
    runs_table,
    timings_table,
    write_manifest,
)
from bench.sweep.driver import settle
from bench.sweep.engine import Engine
from bench.sweep.progress import Progress
from bench.sweep.resources import Request

MIB = 2**20


@dataclass(frozen=True)
class NoOperation:
    """A job that does nothing, and the record that it hands in."""

    key: str
    record: dict


def no_operation(job: NoOperation, board) -> dict:
    board.write.remote(job.key, "train", 0.5, "epoch 1/2")
    return job.record | {"notes": []}


def made_up(template: dict, number: int) -> dict:
    """Return a copy of a real record under a key, task, model and seed of its own."""
    record = {name: part for name, part in template.items() if name != "checksum"}
    key = hashlib.sha256(str(number).encode()).hexdigest()[:16]
    place = {"task": f"task-{number % 10}", "model": f"model-{number // 10 % 100:03}"}
    return record | place | {"key": key, "seed": number // 1000}


def measure_engine(template: dict, runs: int, gpus: int, folder: Path) -> None:
    jobs = [NoOperation(record["key"], record) for record in map_records(template, runs)]
    requests = {job.key: Request(cpus=0.01, gpus=1) for job in jobs}
    engine = Engine(logical={"num_cpus": gpus, "num_gpus": gpus})
    try:
        # Workers start once, whatever the number of runs.
        warm = [NoOperation(f"warm-{i}", {}) for i in range(2 * gpus)]
        started = time.monotonic()
        for _ in engine.map(warm, {job.key: Request(0.01, 1) for job in warm}, no_operation):
            pass
        print(f"start of {gpus} workers: {time.monotonic() - started:.1f} s", flush=True)
        started, longest = time.monotonic(), 0.0
        labels = {job.key: job.key for job in jobs}
        with redirect_stdout(StringIO()), Progress(labels, 0, set(), folder) as progress:
            last = time.monotonic()
            for finished in engine.map(jobs, requests, no_operation):
                if finished is not None:
                    settle(finished, folder, progress)
                progress.update(engine.progress())
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
        seconds = time.monotonic() - started
    finally:
        engine.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB
    size = len(json.dumps(template)) / 1024
    print(
        f"engine: {runs} runs over {gpus} logical GPUs in {seconds:.1f} s, "
        f"{1000 * seconds / runs:.2f} ms a run (a record of {size:.0f} KiB written for each); "
        f"driver at most {peak:.0f} MiB"
    )


def map_records(template: dict, runs: int):
    return (made_up(template, number) for number in range(runs))


def measure_reduction(template: dict, runs: int, folder: Path) -> None:
    write_made_up(template, runs, folder)
    started = time.monotonic()
    records = load_sweep(folder)
    read = time.monotonic() - started
    board = leaderboard_table(records, folder.name)
    sizes = [
        len(csv_text(table))
        for table in (board, runs_table(records, folder.name), timings_table(records))
    ]
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / MIB
    print(
        f"reduction: {len(records)} records in {seconds:.1f} s ({read:.1f} s of it reading and "
        f"checking), {len(board)} rows of the leaderboard, {sum(sizes) / MIB:.0f} MiB of tables; "
        f"at most {peak:.0f} MiB, and {child:.0f} MiB in each reader"
    )


def write_made_up(template: dict, runs: int, folder: Path) -> None:
    keys = []
    for record in map_records(copy.deepcopy(template), runs):
        path = folder / "runs" / record["key"] / "record.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(record | {"checksum": checksum(record)}, sort_keys=True))
        keys.append(record["key"])
    write_manifest(folder, keys)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--record", type=Path, required=True, help="a record to make copies of")
    parser.add_argument("--part", choices=["engine", "reduction"], required=True)
    options = parser.parse_args()
    template = read_record(options.record)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "scale"
        folder.mkdir()
        if options.part == "engine":
            measure_engine(template, options.runs, options.gpus, folder)
        else:
            measure_reduction(template, options.runs, folder)


if __name__ == "__main__":
    main()
