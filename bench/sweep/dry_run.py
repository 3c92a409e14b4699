"""`bench sweep --dry-run`: the runs that a sweep would do, and an estimate of their time."""

from pathlib import Path
from statistics import median

from bench.data.tasks import task_of
from bench.errors import InputError
from bench.records.record import read_record
from bench.sweep.driver import Plan, SweepOptions
from bench.sweep.progress import duration
from bench.system.machine import usable_cores
from bench.system.printing import print_table, say


def show_plan(plan: Plan, results: Path, options: SweepOptions) -> None:
    """Print every chosen run with its key and state, and an estimate of the time.

    The estimate for a run is the median over recorded runs of its task, model and samples of L_K in
    all sweeps of ``results``. The time of training by mini-batches is proportional to the epochs.
    """
    known = recorded_rates(results)
    pending = {job.key for job in plan.pending(options.retry_failed)}
    rows = []
    total, unknown = 0.0, 0
    for key, job in plan.jobs.items():
        if key not in plan.chosen:
            continue
        task = task_of(job.config).name
        samples = job.config["evaluation"]["importance_samples"]
        seconds = None
        if (rates := known.get((task, job.model, samples))) is not None:
            per_epoch, rest = rates
            seconds = per_epoch * job.config["trainer"]["max_epochs"] + rest
        if key in pending:
            total, unknown = total + (seconds or 0), unknown + (seconds is None)
        state = "to do" if key in pending else "recorded"
        took = "" if key not in pending else "unknown" if seconds is None else f"{seconds:.0f}"
        rows.append([key, task, job.model, str(job.config["seed"]), state, took])
    headings = ["key", "task", "model", "seed", "state", "seconds"]
    print_table(f"sweep {plan.name}", headings, rows, texts={1, 2, 4})
    words = f"{len(pending)} of {len(plan.chosen)} runs to do"
    if pending and unknown < len(pending):
        workers = usable_cores() if options.workers is None else max(options.workers, 1)
        words += f", about {duration(total / min(workers, len(pending)))} with {workers} at once"
    if unknown:
        words += f"; the time of {unknown} of them is unknown"
    say(words)


def recorded_rates(results: Path) -> dict[tuple[str, str, int], tuple[float, float]]:
    """Return {(task, model, samples of L_K): median (seconds an epoch, all other seconds)}."""
    rates: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for path in sorted(results.glob("*/runs/*/record.json")):
        try:
            record = read_record(path)
            if record["status"] != "ok":
                continue
            fit, total = record["timing"]["fit_seconds"], record["timing"]["total_seconds"]
            samples = record["config"]["evaluation"]["importance_samples"]
            epochs = record["epochs"]
            # A model that is fitted in closed form or by EM has no best epoch; its time does not
            # depend on the epochs of the trainer.
            is_trained = record["best_epoch"] is not None
            per_epoch = fit / epochs if epochs is not None and is_trained else 0.0
            place = rates.setdefault((record["task"], record["model"], samples), [])
            place.append((per_epoch, total - per_epoch * (epochs or 0)))
        # Reports need less of a record than this does.
        except (InputError, KeyError, TypeError, ZeroDivisionError):
            continue
    return {
        name: (median(per_epoch for per_epoch, _ in runs), median(rest for _, rest in runs))
        for name, runs in rates.items()
    }
