"""`bench sweep --dry-run`: what a sweep would do, and about how long it would take."""

import os
from pathlib import Path

from bench.config import task_of
from bench.errors import InputError
from bench.record import read_record
from bench.sweep.driver import Plan, SweepOptions
from bench.sweep.progress import duration


def show_plan(plan: Plan, results: Path, options: SweepOptions) -> None:
    """Print every chosen run with its key and what there is of it, and an estimate of the time.

    A run is taken to last as long as recorded runs of its task and model did on average, under
    any sweep of ``results``.
    """
    from rich.console import Console
    from rich.table import Table

    known = recorded_seconds(results)
    pending = {job.key for job in plan.pending(options.retry_failed)}
    table = Table("key", "task", "model", "seed", "state", "seconds", box=None)
    total, unknown = 0.0, 0
    for key, job in plan.jobs.items():
        if key not in plan.chosen:
            continue
        task = task_of(job.config).name
        seconds = known.get((task, job.model))
        if key in pending:
            total, unknown = total + (seconds or 0), unknown + (seconds is None)
        table.add_row(
            key,
            task,
            job.model,
            str(job.config["seed"]),
            "to do" if key in pending else "recorded",
            "" if key not in pending else "unknown" if seconds is None else f"{seconds:.0f}",
        )
    console = Console(width=None if os.isatty(1) else 140)
    console.print(table)
    words = f"{len(pending)} of {len(plan.chosen)} runs to do"
    if pending and unknown < len(pending):
        workers = options.workers or os.cpu_count() or 1
        words += f", about {duration(total / min(workers, len(pending)))} with {workers} at once"
    if unknown:
        words += f"; nothing is known of the time of {unknown} of them"
    print(words)


def recorded_seconds(results: Path) -> dict[tuple[str, str], float]:
    """Return {(task, model): mean seconds} of the records that there are."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for path in sorted(results.glob("*/runs/*/record.json")):
        try:
            record = read_record(path)
            if record["status"] == "ok":
                place = seconds.setdefault((record["task"], record["model"]), [])
                place.append(record["timing"]["total_seconds"])
        except (InputError, KeyError):
            continue
    return {name: sum(values) / len(values) for name, values in seconds.items()}
