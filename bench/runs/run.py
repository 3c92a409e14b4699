"""One run: build, fit, evaluate, and return its record."""

import errno
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from bench.configuration.job import Job
from bench.configuration.models import build_model
from bench.data.tasks import TaskData, load_task, task_of
from bench.errors import InputError
from bench.estimators.evaluate import evaluate
from bench.models.terms import Model
from bench.noise import derive_seed
from bench.records.provenance import describe_data, environment
from bench.records.types import Config, EstimateRecord, Metrics, Record
from bench.runs.divergence import check_against_uniform, check_finite
from bench.runs.log import RunLog
from bench.runs.pictures import enlarged, grid_of, latent_map, png, shown_images
from bench.runs.plan import plan_of
from bench.runs.ranks import fit_on_ranks
from bench.settings import Progress, evaluation_config
from bench.system.determinism import deterministic
from bench.system.device_trouble import device_trouble, is_out_of_gpu_memory
from bench.system.devices import Reserved, devices_for
from bench.system.energy import counters_of, metered
from bench.system.launchers import hidden, is_a_launchers
from bench.tracking.logger import tracked
from bench.training.checkpoints import BEST, LAST, join, read_checkpoint, remove, weights_of
from bench.training.epoch import TrainingDiverged
from bench.training.fit import Listeners, fit, silence_lightning
from bench.training.together import Seat

# Errors of the machine, which say nothing about the run: it has no result and is tried again.
STORAGE_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def run(
    job: Job,
    progress: Progress = lambda phase, share, text: None,
    gpus: Reserved | None = None,
) -> Record:
    """Do a run and return its record; a training that fails becomes a failed record.

    Args:
        job: The run.
        progress: Called with the run's progress.
        gpus: The GPUs that are reserved for it; None takes those that the machine has.

    Returns:
        The record, and in it the lines of ``notes`` that the user should see.

    Raises:
        InputError: A mistake of the user, or trouble of the storage or of a GPU; no record is made.
    """
    silence_lightning()
    deterministic()
    job.load_outside()
    devices = devices_for(job.config["trainer"]["devices"], gpus)
    with hidden(is_a_launchers), open_log(job) as log:
        return recorded(job, devices, gpus.share if gpus else 1.0, log, progress)


def recorded(
    job: Job,
    devices: list[torch.device],
    share: float,
    log: RunLog,
    progress: Progress,
    seat: Seat | None = None,
) -> Record:
    """Do a run and return its record, see `run`.

    Args:
        job: The run.
        devices: Where it trains.
        share: The share of a GPU that is reserved for it.
        log: Its log.
        progress: Called with the run's progress.
        seat: Its place among runs that train together, if any. Then errors are raised, because they
            may be another run's.
    """
    task = task_of(job.config)
    identity = {
        "key": job.key,
        "config": job.config,
        "task": task.name,
        "model": job.model,
        "seed": job.config["seed"],
    }
    started, started_at = time.perf_counter(), time.time()
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        log.write(line)

    try:
        results = results_of(job, identity, devices, Listeners(log.following(progress), note), seat)
    except (InputError, KeyboardInterrupt):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in STORAGE_TROUBLE:
            raise InputError(f"storage: {error.strerror}; not recorded") from None
        log.write_traceback()
        if trouble := device_trouble(error, share):
            raise trouble from None
        if seat is not None:
            raise
        results = {
            "status": "failed",
            "reason": reason_of(error),
            "data": describe_data(load_task(task)),
            "environment": environment(devices[0].type),
        }
    log.write(f"{results['status']} {results.get('reason', '')}")
    timing, seconds = results.get("timing", {}), time.perf_counter() - started
    timing["total_seconds"] = seconds + timing.pop("seconds_before", 0.0)
    # Not read from the clock a second time: somebody may have set it back.
    results["timing"] = timing | {"started_at": started_at, "ended_at": started_at + seconds}
    # A type checker cannot see this; every reader checks a record against its schema.
    return cast(Record, identity | results | {"notes": notes})


def open_log(job: Job) -> RunLog:
    try:
        return RunLog(Path(job.directory))
    except OSError as error:
        raise InputError(f"storage: {job.directory}: {error.strerror}; not recorded") from None


def reason_of(error: Exception) -> str:
    """Return why a run failed, in one line without paths of this machine."""
    if isinstance(error, TrainingDiverged):
        return f"diverged: {error}"
    text = re.sub(r"(/[\w.-]+)+/", "…/", " ".join(str(error).split()))
    is_full = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or is_out_of_gpu_memory(
        error
    )
    if is_full or "can't allocate memory" in text:
        return "out of memory"
    return f"{type(error).__name__}: {text[:300]}"


def results_of(
    job: Job,
    identity: dict[str, Any],
    devices: list[torch.device],
    listeners: Listeners,
    seat: Seat | None,
) -> dict[str, Any]:
    """Return the results of a run; a training that diverges must do so twice, the same way.

    Raises:
        TrainingDiverged: The training diverged, or did so only once.
    """
    attempt = lambda: results_once(job, identity, devices, listeners, seat)
    try:
        return attempt()
    except TrainingDiverged as error:
        if seat is not None:
            raise
        first = str(error)
    listeners.note(f"diverged: {first}; repeated from the start")
    for name in (LAST, BEST):
        remove(join(job.checkpoints, name))
    try:
        attempt()
    except TrainingDiverged as error:
        second = str(error)
        if second == first:
            raise
    else:
        second = "it did not"
    raise TrainingDiverged(
        f"not reproducibly: first {first}; repeated with the same seed, {second}"
    )


def results_once(
    job: Job,
    identity: dict[str, Any],
    devices: list[torch.device],
    listeners: Listeners,
    seat: Seat | None,
) -> dict[str, Any]:
    """Build, train and evaluate a model, and track it; ``identity`` says which run it is."""
    device = devices[0]
    torch.set_num_threads(job.config["trainer"]["threads"])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    data = load_task(task_of(job.config))
    model = build_model(job.config, data.shape, data.task.levels)
    trainable = any(p.requires_grad for p in model.parameters())
    with tracked(job, data.task.name, trainable, listeners.note) as tracker:
        started = time.perf_counter()
        heard = replace(listeners, curve=tracker.log)
        with metered(counters_of(devices)) as energy:
            model, training = train(model, data, job, devices, heard, seat)
            trained = time.perf_counter()
            metrics, images = evaluate_model(model, data, job.config, device.type, heard.progress)
        check_finite(metrics)
        check_against_uniform(metrics, model, data.task.levels)
        before, stacked = training.pop("seconds_before", 0.0), training.pop("stacked", 1)
        timing = {
            "seconds_before": before,
            "fit_seconds": before + trained - started,
            "evaluate_seconds": time.perf_counter() - trained,
        }
        if not before:  # else the energy of the interrupted part is missing
            timing |= energy
        results = describe_model(model) | training | {"metrics": metrics, "timing": timing}
        results |= {
            "images": {name: png(grid, data) for name, grid in images.items()},
            "latent": latent_map(model, data, job.config["seed"], device.type),
            "environment": environment(device.type),
            "data": describe_data(data),
        }
        if stacked > 1:  # it decides the rounding, and whose the seconds are
            results["environment"]["stacked"] = stacked
        grids = {name: enlarged(grid_of(grid, data)) for name, grid in images.items()}
        tracker.finish(cast(Record, identity | results), grids)
    return results


def train(
    model: Model,
    data: TaskData,
    job: Job,
    devices: list[torch.device],
    listeners: Listeners,
    seat: Seat | None = None,
) -> tuple[Model, dict[str, Any]]:
    """Train a model by its own algorithm, by gradient ascent, or by both, one after the other.

    Returns:
        The model with the weights of its best epoch, and epochs, best_epoch and history.
    """
    training: dict[str, Any] = {"epochs": 0, "best_epoch": None, "history": []}
    fit_directly = getattr(model, "fit", None)
    if fit_directly is not None:
        trace = fit_directly(data.train)
        training["epochs"] = trace[-1]["iteration"] if trace else 0
    if any(p.requires_grad for p in model.parameters()):
        if len(devices) == 1:
            training |= fit(model, data, plan_of(job, devices[0]), devices, listeners, seat)
        else:
            training |= fit_on_ranks(job, devices, listeners)
        if job.config["trainer"]["compile"] != "none":
            # Training compiled the networks; numbers come from networks that are not compiled.
            model = build_model(job.config, data.shape, data.task.levels)
        training["best_epoch"] = load_best(model, job)
    return model, training


def load_best(model: Model, job: Job) -> int:
    """Load the weights of the epoch with the highest validation bound; return its number."""
    checkpoint = read_checkpoint(join(job.checkpoints, BEST))
    model.load_state_dict(weights_of(checkpoint))
    epoch: int = checkpoint["epoch"]
    return epoch + 1


def describe_model(model: Model) -> dict[str, Any]:
    return {
        "status": "ok",
        "decoder": model.decoder_name,
        "prior": model.prior_name,
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "bound": model.bound,
    }


def evaluate_model(
    model: Model, data: TaskData, config: Config, device: str, progress: Progress
) -> tuple[Metrics, dict[str, Tensor]]:
    """Return all estimates as plain data, and the images to show, for a fitted model."""
    torch.set_num_threads(config["trainer"]["threads"])
    deterministic()
    model.to(device).eval()
    model.attach(data.train.to(device))
    seed = derive_seed(config["seed"], "evaluation")
    follow = lambda share: progress("evaluate", share, "")
    results = evaluate(model, data, evaluation_config(config), seed, device, follow)
    plain: Metrics = {
        # An Estimate has the fields of its record.
        split: {name: cast(EstimateRecord, e._asdict()) for name, e in columns.items()}
        for split, columns in results.items()
    }
    return plain, shown_images(model, data, seed, device)
