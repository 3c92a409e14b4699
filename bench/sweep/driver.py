"""`bench sweep`: do what a matrix asks for and has no record yet, then reduce."""

import fcntl
from contextlib import contextmanager
from pathlib import Path

from bench.config import Job, key_of, task_of, trainer_config
from bench.errors import InputError
from bench.parsing import build_model, parse_run, read_yaml, resolve
from bench.record import read_record, record_path, write_record
from bench.report.reduce import write_manifest
from bench.sweep.matrix import REFERENCES, expand
from bench.sweep.progress import Progress


def sweep(
    name: str,
    results: Path,
    address: str | None = None,
    workers: int | None = None,
    wandb_mode: str = "offline",
    retry_failed: bool = False,
) -> Path:
    """Run a sweep and return its folder; everything is checked before anything is written.

    Args:
        name: Name under configs/sweep, or a path to a YAML file.
        results: Folder of all results; the sweep's own is named after its file in it.
        address: Address of a running Ray cluster; None starts one on this machine.
        workers: Largest number of runs at once on this machine; None is one a core.
        wandb_mode: offline, online or disabled.
        retry_failed: Do failed runs again, which otherwise keep their record.

    Raises:
        InputError: Anything wrong with the matrix, a configuration, the data or the resources.
    """
    path = resolve("sweep", name)
    cells, resources = expand(read_yaml(path), path.name)
    directory = results / path.stem
    jobs = {}
    for cell in cells:
        config = parse_run(list(cell.arguments))
        key = key_of(config)
        if key in jobs:
            raise InputError(
                f"{path.name}: '{cell.model}' and '{jobs[key].model}' are the same run"
            )
        jobs[key] = Job(
            config, cell.model, path.stem, str((directory / "runs" / key).absolute()), wandb_mode
        )
    check_buildable(list(jobs.values()))
    if address is None:
        from bench.sweep.engine import refuse_what_this_machine_lacks

        refuse_what_this_machine_lacks(resources)
    with locked(directory):
        write_manifest(directory, list(jobs))
        pending = [job for job in jobs.values() if needs_run(directory, job.key, retry_failed)]
        print(
            f"sweep {path.stem}: {len(jobs)} runs, {len(jobs) - len(pending)} with a record",
            flush=True,
        )
        if pending:
            run_pending(pending, directory, len(jobs) - len(pending), resources, address, workers)
    return directory


def check_buildable(jobs: list[Job]) -> None:
    """Load every task and construct every model once, so that what cannot work fails now."""
    from bench.data.module import TrainingBatches
    from bench.data.tasks import load_task
    from bench.models.generative import GenerativeModel

    for job in jobs:
        data = load_task(task_of(job.config))
        settings = trainer_config(job.config)
        try:
            model = build_model(job.config, data.shape, data.task.levels)
            GenerativeModel(model, settings, job.config["seed"], {})
            TrainingBatches(data, settings.batch_size, job.config["seed"], lambda: 0)
        except InputError as error:
            raise InputError(f"{data.task.name}, {job.model}: {error}") from None
        except (RuntimeError, MemoryError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{data.task.name}, {job.model}: cannot be built: {reason}") from None


@contextmanager
def locked(directory: Path):
    """Hold the sweep's folder, so that a second driver refuses instead of overwriting."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = open(directory / ".driver.lock", "w")
    except OSError as error:
        raise InputError(f"results: {directory} cannot be written: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"results: another sweep is writing to {directory}; wait for it"
            ) from None
        yield


def needs_run(directory: Path, key: str, retry_failed: bool) -> bool:
    path = record_path(directory / "runs", key)
    if not path.is_file():
        return True
    try:
        record = read_record(path)
    except InputError as error:
        print(f"{error}; it is done again", flush=True)
        return True
    return retry_failed and record["status"] != "ok"


def run_pending(
    pending: list[Job], directory: Path, cached: int, resources, address, workers
) -> None:
    from bench.sweep.engine import Engine

    labels = {
        job.key: f"{task_of(job.config).name:14} {job.model:20} seed {job.config['seed']}"
        for job in pending
    }
    instant = {job.key for job in pending if job.model in REFERENCES}
    print("starting the engine", flush=True)
    engine = Engine(resources, address, workers)
    try:
        with Progress(labels, cached, instant) as progress:
            for finished in engine.map(pending):
                if finished is not None:
                    settle(finished, directory, progress)
                progress.update(engine.progress())
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where this one ended", flush=True)
        raise
    finally:
        engine.close()


def settle(finished, directory: Path, progress: Progress) -> None:
    """Write a finished run's record; the driver alone writes records."""
    record = finished.record
    if record is None:
        # Nothing came back (say, its worker was killed again and again): no record, so that the
        # next call tries again.
        progress.finish(finished.key, True, finished.reason)
        return
    write_record(directory / "runs", record)
    if record["status"] == "ok":
        test = record["metrics"]["test"]
        words = f"{test['bits_per_dim']['value']:.4f} bits/dim, {record['timing']['total_seconds']:.1f} s"
        progress.finish(finished.key, False, words)
    else:
        progress.finish(finished.key, True, record["reason"])
