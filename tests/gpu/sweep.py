"""Part `sweep`: runs of a sweep in a few processes, without Ray, until the time is up."""

import multiprocessing
import os
import signal
import tarfile
from pathlib import Path

from bench.configuration.job import Job
from bench.records.manifest import write_manifest
from bench.records.record import has_record
from bench.records.types import Record
from bench.runs.run import run
from bench.runs.stack import run_stack
from bench.sweep.driver import SweepOptions, make_plan
from bench.sweep.folder import prepare_folder, write_or_refuse
from bench.sweep.jobs import Stack
from bench.sweep.stacks import stacks_of
from tests.gpu.lines import ROOT, Check

# Checkpoints of unfinished runs stay here, so that a second call on the same machine resumes them.
RESULTS = ROOT / "gpu-out" / "sweeps"
DRY = Path(__file__).with_name("dry.yaml")
# Seconds before the end that are kept for packing the records.
SPARE = 15


def sweep(check: Check, name: str, at_once: int) -> None:
    """Do the runs that have no record yet, and pack all records into runs.tar.gz."""
    results = check.out / "sweeps" if check.dry else RESULTS
    plan = make_plan(str(DRY) if check.dry else name, results, SweepOptions(wandb_mode="disabled"))
    jobs = plan.pending(retry_failed=False)
    prepare_folder(plan.directory, [job.key for job in jobs])
    write_manifest(plan.directory, list(plan.jobs), plan.recipes)
    context = multiprocessing.get_context("spawn")
    with context.Pool(at_once, initializer=end_at_once) as pool:
        units = stacks_of(jobs, plan.resources, has_gpus=True)
        finished = pool.imap_unordered(done_together, units)
        try:
            for _ in units:
                for record in finished.next(check.left() - SPARE):
                    report(check, plan.directory, record)
        except multiprocessing.TimeoutError:
            pass
    done = [key for key in plan.jobs if has_record(plan.directory / "runs", key)]
    check.say("sweep", sweep=plan.name, done=len(done), of=len(plan.jobs))
    with tarfile.open(check.out / "runs.tar.gz", "w:gz") as archive:
        for path in [plan.directory / "manifest.json"] + [
            plan.directory / "runs" / key / "record.json" for key in done
        ]:
            archive.add(path, path.relative_to(results))


def done_together(unit: Job | Stack) -> list[Record]:
    """Do a run, or runs that train as one network."""
    return run_stack(unit.jobs) if isinstance(unit, Stack) else [run(unit)]


def end_at_once() -> None:
    """Let SIGTERM, by which a pool ends its processes, end this one; Lightning would go on."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))


def report(check: Check, directory: Path, record: Record) -> None:
    """Write a record and a line about it."""
    del record["notes"]
    write_or_refuse(directory, record)
    test = record.get("metrics", {}).get("test", {})
    check.say(
        "run",
        key=record["key"],
        model=record["model"],
        seed=record["seed"],
        status=record["status"],
        reason=record.get("reason"),
        bits_per_dim=test["bits_per_dim"]["value"] if test else None,
        gpu=record["environment"]["gpu"],
        stacked=record["environment"].get("stacked", 1),
        **record["timing"],
    )
