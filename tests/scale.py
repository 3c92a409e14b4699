"""How the engine and the reduction behave with very many runs, of which none does anything.

python -m tests.scale --part engine --runs 10000 --gpus 64 --record RECORD.json
python -m tests.scale --part reduction --runs 100000 --record RECORD.json
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from bench.instruments.perf.idle import do_nothing, made_up, table_texts, write_made_up
from bench.records.record import read_record
from bench.report.reduce import load_sweep
from bench.sweep.apart import EngineApart
from bench.sweep.resources import Request

MIB = 2**20


def measure_engine(template: dict, runs: int, gpus: int, folder: Path) -> None:
    request, records = Request(cpus=0.01, gpus=1), list(made_up(template, runs))
    engine = EngineApart(logical={"num_cpus": gpus, "num_gpus": gpus})
    try:
        # Workers start once, whatever the number of runs.
        started = time.monotonic()
        do_nothing(engine, list(made_up(template, 2 * gpus)), request, folder)
        print(f"start of {gpus} workers: {time.monotonic() - started:.1f} s", flush=True)
        started = time.monotonic()
        do_nothing(engine, records, request, folder)
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


def measure_reduction(template: dict, runs: int, folder: Path) -> None:
    write_made_up(template, runs, folder)
    started = time.monotonic()
    records = load_sweep(folder)
    read = time.monotonic() - started
    texts = table_texts(records, folder.name)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / MIB
    print(
        f"reduction: {len(records)} records in {seconds:.1f} s ({read:.1f} s of it reading and "
        f"checking), {len(texts[0].splitlines()) - 1} rows of the leaderboard, "
        f"{sum(map(len, texts)) / MIB:.0f} MiB of tables; "
        f"at most {peak:.0f} MiB, and {child:.0f} MiB in each reader"
    )


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
