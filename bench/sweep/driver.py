"""`bench sweep`: do the runs of a matrix that have no record yet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.configuration.files import resolve
from bench.configuration.job import Job
from bench.configuration.models import build_model
from bench.configuration.parsing import SeedParser
from bench.data.tasks import task_of
from bench.errors import InputError
from bench.records.differences import refuse_mixed_rows
from bench.records.key import key_of
from bench.records.manifest import Recipe, write_manifest
from bench.records.record import has_record, read_record, record_path
from bench.records.types import REFERENCES, Record
from bench.settings import trainer_config
from bench.sweep.folder import locked, prepare_folder, write_or_refuse
from bench.sweep.jobs import Finished, Stack
from bench.sweep.matrix import expand, in_yaml, selected
from bench.sweep.progress import SweepProgress
from bench.sweep.reachable import refuse_no_cluster, refuse_no_ray
from bench.sweep.resources import Request, Resources, request_of
from bench.sweep.single import is_single, manifest_of
from bench.system.devices import unusable_gpus
from bench.system.printing import number, say
from bench.system.yaml_text import read_yaml
from bench.tracking.wandb_settings import reachable_mode


@dataclass(frozen=True)
class SweepOptions:
    """How a sweep is driven. No option here changes a number.

    Attributes:
        address: Address of a running Ray cluster; None starts one on this machine.
        workers: Largest number of runs at once; None is as many as fit, and 0 does them in this
            process, one after another.
        wandb_mode: offline, online or disabled.
        retry_failed: Do failed runs again, which otherwise keep their record.
        only: Conditions such as ``task=digits-17 seed=1,2``; only runs that meet them are done.
        max_failures: Stop when more runs than this have failed; None never stops.
        storage: Folder or fsspec address for checkpoints; None keeps them beside the records.
    """

    address: str | None = None
    workers: int | None = None
    wandb_mode: str = "offline"
    retry_failed: bool = False
    only: str = ""
    max_failures: int | None = None
    storage: str | None = None


@dataclass(frozen=True)
class Plan:
    """The jobs of a sweep, and which of them this call may do.

    Attributes:
        directory: The sweep's folder.
        jobs: {key: job} of the whole sweep, in the order of its tables.
        resources: {key: resources that the job asks for}.
        chosen: Keys of the jobs that this call may do.
    """

    directory: Path
    jobs: dict[str, Job]
    resources: dict[str, Resources]
    chosen: set[str]

    @property
    def name(self) -> str:
        return self.directory.name

    def label(self, key: str) -> str:
        job = self.jobs[key]
        return f"{task_of(job.config).name:14} {job.model:20} seed {job.config['seed']}"

    @property
    def recipes(self) -> list[Recipe]:
        """The recipe of each job of the whole sweep."""
        return [
            {
                "task": task_of(job.config).name,
                "model": job.model,
                "max_epochs": job.config["trainer"]["max_epochs"],
                "importance_samples": job.config["evaluation"]["importance_samples"],
            }
            for job in self.jobs.values()
        ]

    def pending(self, retry_failed: bool) -> list[Job]:
        """Return the chosen jobs that have no record, or a failed one if those are retried."""
        return [
            job
            for key, job in self.jobs.items()
            if key in self.chosen and needs_run(self.directory, key, retry_failed)
        ]


def make_plan(name: str, results: Path, options: SweepOptions) -> Plan:
    """Return the plan of a sweep. Reads configurations and writes nothing.

    Raises:
        InputError: The matrix or a configuration is wrong.
    """
    path = resolve("sweep", name)
    directory = results / path.stem
    jobs: dict[str, Job] = {}
    resources: dict[str, Resources] = {}
    cells, parser = [], SeedParser()
    for cell in expand(read_yaml(path), path.name):
        config = parser.parse(cell.arguments)
        key = key_of(config)
        if key in jobs:
            place = " ".join(f"{axis}={in_yaml(value)}" for axis, value in cell.point.items())
            raise InputError(
                f"{path.name}: '{cell.model}' at {place} is the same run as an earlier one, "
                f"'{jobs[key].model}' of seed {config['seed']}"
            )
        storage = f"{options.storage.rstrip('/')}/{path.stem}/{key}" if options.storage else ""
        jobs[key] = Job(
            config,
            cell.model,
            path.stem,
            str((directory / "runs" / key).absolute()),
            options.wandb_mode,
            storage,
        )
        resources[key] = cell.resources
        cells.append(replace(cell, point=cell.point | {"key": key}))
    rows = ((f"{task_of(job.config).name}, {job.model}", job.config) for job in jobs.values())
    refuse_mixed_rows(rows, path.name)
    chosen = selected(cells, options.only, path.name) if options.only else cells
    return Plan(directory, jobs, resources, {cell.point["key"] for cell in chosen})


def sweep(name: str, results: Path, options: SweepOptions) -> Plan:
    """Run a sweep and return its plan. Everything is checked before anything is written.

    Args:
        name: Name under configs/sweep, or a path to a YAML file.
        results: Folder of all results. The sweep's own folder in it has the name of the YAML file.
        options: How the sweep is driven.

    Raises:
        InputError: The matrix, a configuration, the data or the resources are wrong; the disk is
            full; Ray is not installed, the cluster is gone, or a GPU of this process is in trouble.
    """
    if options.workers != 0:
        refuse_no_ray()
    plan = make_plan(name, results, options)
    if is_single(manifest_of(plan.directory)):
        raise InputError(
            f"results: {plan.directory} has the single runs of `bench train`; give the sweep another "
            "name, or another folder by --results"
        )
    check_buildable([plan.jobs[key] for key in plan.jobs if key in plan.chosen])
    if options.address is None:
        from bench.sweep.engine import machine
        from bench.sweep.resources import refuse_what_never_fits

        here = machine()
        refuse_what_never_fits(
            [request_of(plan.resources[k], plan.jobs[k].config, here[1] > 0) for k in plan.chosen],
            [here],
        )
        if line := unusable_gpus():
            say(line)
    else:
        refuse_no_cluster(options.address)
    with locked(plan.directory):
        write_manifest(plan.directory, list(plan.jobs), plan.recipes)
        pending = plan.pending(options.retry_failed)
        cached = len(plan.chosen) - len(pending)
        say(f"sweep {plan.name}: {len(plan.chosen)} runs, {cached} with a record")
        if pending:
            prepare_folder(plan.directory, [job.key for job in pending])
            mode = reachable_mode(options.wandb_mode, say)
            pending = [replace(job, wandb_mode=mode) for job in pending]
            run_pending(plan, pending, cached, options)
    return plan


def check_buildable(jobs: list[Job]) -> None:
    """Load every task and construct every model. Raises InputError if a job cannot work."""
    from bench.data.tasks import load_task
    from bench.training.batches import Place, TrainingBatches
    from bench.training.module import GenerativeModel

    for job in jobs:
        data = load_task(task_of(job.config))
        settings = trainer_config(job.config)
        try:
            model = build_model(job.config, data.shape, data.task.levels)
            GenerativeModel(model, settings, job.config["seed"])
            TrainingBatches(
                data,
                settings.batch_size,
                job.config["seed"],
                lambda: 0,
                Place(world=settings.devices),
            )
        except InputError as error:
            raise InputError(f"{data.task.name}, {job.model}: {error}") from None
        except Exception as error:
            if not isinstance(error, (RuntimeError, MemoryError)) and not job.plugins:
                raise
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{data.task.name}, {job.model}: cannot be built: {reason}") from None


def needs_run(directory: Path, key: str, retry_failed: bool) -> bool:
    """Tell whether a run is to be done: it has no record, a damaged one, or a failed one to retry."""
    if not has_record(directory / "runs", key):
        return True
    try:
        record = read_record(record_path(directory / "runs", key))
    except InputError as error:
        say(f"{error}; the run is done again")
        return True
    return retry_failed and record["status"] != "ok"


def run_pending(plan: Plan, pending: list[Job], cached: int, options: SweepOptions) -> None:
    """Do the pending runs.

    Raises:
        InputError: Too many runs have failed, the disk is full, or there is no engine.
    """
    from bench.sweep.jobs import Work
    from bench.sweep.loop import do_jobs
    from bench.sweep.stacks import stacks_of

    labels = {job.key: plan.label(job.key) for job in pending}
    instant = {job.key for job in pending if job.model in REFERENCES}

    def request(job: Job, has_gpus: bool) -> Request:
        return request_of(plan.resources[job.key], job.config, has_gpus)

    with SweepProgress(labels, cached, instant, plan.directory) as progress:

        def settle_and_count(finished: Finished) -> None:
            settle(finished, plan.directory, progress)
            refuse_more_failures(progress.failed, options.max_failures)

        def grouped(jobs: Sequence[Job], has_gpus: bool, slots: int) -> list[Job | Stack]:
            return stacks_of(jobs, plan.resources, has_gpus, slots)

        work = Work(request, settle_and_count, grouped=grouped)
        try:
            do_jobs(pending, work, progress, options.address, options.workers)
        except KeyboardInterrupt:
            progress.say("stopped; the same command resumes where this one ended")
            raise


def refuse_more_failures(failed: int, most: int | None) -> None:
    if most is not None and failed > most:
        raise InputError(
            f"{failed} runs have failed, more than max_failures allows ({most}); "
            "what is done is recorded"
        )


def settle(finished: Finished, directory: Path, progress: SweepProgress) -> None:
    """Write a finished run's record. Only the driver writes records.

    Raises:
        InputError: The record cannot be written, for example to a full disk.
    """
    record: Record | None = finished.record
    if record is None:
        # Without a record, for example because its worker kept being killed, the next call does the
        # run again.
        progress.finish(finished.key, True, finished.reason)
        return
    for line in record.pop("notes"):
        progress.say(f"note    {progress.labels[finished.key]}  {line}")
    write_or_refuse(directory, record)
    failed = record["status"] != "ok"
    seconds = record["timing"]["total_seconds"]
    if failed:
        words = record["reason"]
    else:
        test = record["metrics"]["test"]
        words = f"{number(test['bits_per_dim']['value'], 4)} bits/dim, {seconds:.1f} s"
    progress.finish(finished.key, failed, words, seconds / record["environment"].get("stacked", 1))
