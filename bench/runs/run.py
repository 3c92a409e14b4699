"""One run: build, fit, evaluate, and return its record."""

import errno
import re
import time
from math import isfinite, log, log2, pi, sqrt
from pathlib import Path

import torch
from torch import Tensor

from bench.configuration.job import Job
from bench.configuration.parsing import build_model
from bench.data.tasks import TaskData, load_task, task_of
from bench.errors import InputError
from bench.estimators.evaluate import evaluate
from bench.models.terms import Model
from bench.noise import derive_seed
from bench.records.provenance import environment
from bench.runs.log import RunLog
from bench.runs.pictures import enlarged, grid_of, latent_map, png, shown_images
from bench.runs.plan import plan_of
from bench.runs.ranks import fit_on_ranks
from bench.settings import Progress, evaluation_config
from bench.system.devices import devices_for
from bench.system.launchers import hidden, is_a_launchers
from bench.tracking.logger import tracked
from bench.training.checkpoints import BEST, LAST, join, read_checkpoint, remove, weights_of
from bench.training.epoch import TrainingDiverged
from bench.training.fit import Listeners, fit, silence_lightning

# The machine's trouble, which says nothing of the run: it is no result, and is tried again.
STORAGE_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
# A training whose model loses to the uniform one by more bits/dim than this, on the images that it
# was trained on, has diverged. No recorded run loses to it. The shortest honest trainings do, by 0.5
# (a Gaussian VAE on binary digits, one epoch) to 3.1 (lightning-bolts' VAE, two steps); learning
# rates of 0.2 to 1 that diverge without overflow lose 15 to 1e8 on digits, higher ones up to 1e35.
DIVERGENCE_MARGIN = 8.0


def run(
    job: Job,
    progress: Progress = lambda phase, share, text: None,
    gpus: list[str] | None = None,
) -> dict:
    """Do a run and return its record; what goes wrong in training becomes a failed record.

    Input errors are raised: they are the user's to mend, and no result.

    Args:
        job: The run.
        report: Is told how far it is.
        gpus: Names of the GPUs set aside for it; None takes those that there are.

    Returns:
        The record, and in it the lines of ``notes`` that the user should see.
    """
    silence_lightning()
    config = job.config
    task = task_of(config)
    devices = devices_for(config["trainer"]["devices"], gpus)
    record = {
        "key": job.key,
        "config": config,
        "task": task.name,
        "model": job.model,
        "seed": config["seed"],
    }
    started = time.perf_counter()
    notes: list[str] = []
    with hidden(is_a_launchers), open_log(job) as log:
        progress = log.following(progress)
        note = lambda line: (notes.append(line), log.write(line))
        try:
            record |= measured_twice_if_diverged(job, record, devices, progress, note)
        except (InputError, KeyboardInterrupt):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in STORAGE_TROUBLE:
                raise InputError(f"storage: {error.strerror}; not recorded") from None
            log.write_traceback()
            record |= {"status": "failed", "reason": reason_of(error)}
            record |= describe_data(load_task(task))
            record |= {"environment": environment(devices[0].type)}
        log.write(f"{record['status']} {record.get('reason', '')}")
    timing = record.get("timing", {})
    total = time.perf_counter() - started + timing.pop("seconds_before", 0.0)
    record["timing"] = timing | {"total_seconds": total}
    return record | {"notes": notes}


def open_log(job: Job) -> RunLog:
    try:
        return RunLog(Path(job.directory))
    except OSError as error:
        raise InputError(f"storage: {job.directory}: {error.strerror}; not recorded") from None


def reason_of(error: Exception) -> str:
    """Return why a run failed, in a line without anybody's paths."""
    if isinstance(error, TrainingDiverged):
        return f"diverged: {error}"
    text = re.sub(r"(/[\w.-]+)+/", "…/", " ".join(str(error).split()))
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in text:
        return "out of memory"
    return f"{type(error).__name__}: {text[:300]}"


def measured_twice_if_diverged(
    job: Job, identity: dict, devices: list[torch.device], progress: Progress, note
) -> dict:
    """Do what ``measured`` does; a training that diverges must do so again, or it is not one.

    Raises:
        TrainingDiverged: It did, or only once.
    """
    try:
        return measured(job, identity, devices, progress, note)
    except TrainingDiverged as error:
        first = str(error)
    note(f"diverged: {first}; repeated from the start")
    for name in (LAST, BEST):
        remove(join(job.checkpoints, name))
    try:
        measured(job, identity, devices, progress, note)
    except TrainingDiverged as error:
        second = str(error)
        if second == first:
            raise
    else:
        second = "it did not"
    raise TrainingDiverged(
        f"not reproducibly: first {first}; repeated with the same seed, {second}"
    )


def measured(
    job: Job, identity: dict, devices: list[torch.device], progress: Progress, note
) -> dict:
    """Build, fit and evaluate; return the record's results. ``identity`` says whose they are."""
    config, device = job.config, devices[0]
    torch.set_num_threads(config["trainer"]["threads"])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    data = load_task(task_of(config))
    model = build_model(config, data.shape, data.task.levels)
    trainable = any(p.requires_grad for p in model.parameters())
    with tracked(job, data.task.name, trainable, note) as tracker:
        fit_started = time.perf_counter()
        fitted: dict = {"epochs": 0, "history": []}
        if hasattr(model, "fit"):
            trace = model.fit(data.train)
            fitted["epochs"] = trace[-1]["iteration"] if trace else 0
        if trainable:
            if len(devices) == 1:
                fitted = fit(
                    model, data, plan_of(job), devices, Listeners(progress, note, tracker.log)
                )
            else:
                fitted = fit_on_ranks(job, devices, tracker.log, progress, note)
            if config["trainer"]["compile"] != "none":
                # Training's networks are compiled; numbers come from plain ones.
                model = build_model(config, data.shape, data.task.levels)
            fitted["best_epoch"] = load_best(model, job)
        evaluation_started, before = time.perf_counter(), fitted.get("seconds_before", 0.0)
        results, images = evaluate_model(model, data, config, device.type, progress)
        check_finite(results)
        check_against_uniform(results, model, data.task.levels)
        record = {
            "status": "ok",
            "decoder": model.decoder_name,
            "prior": model.prior_name,
            "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "bound": model.bound,
            "epochs": fitted["epochs"],
            "best_epoch": fitted.get("best_epoch"),
            "history": fitted["history"],
            "metrics": results,
            "images": {name: png(grid, data) for name, grid in images.items()},
            "latent": latent_map(model, data, config["seed"], device.type),
            "environment": environment(device.type),
            "timing": {
                "seconds_before": before,
                "fit_seconds": before + evaluation_started - fit_started,
                "evaluate_seconds": time.perf_counter() - evaluation_started,
            },
        } | describe_data(data)
        grids = {name: enlarged(grid_of(grid, data)) for name, grid in images.items()}
        tracker.finish(identity | record, grids)
    return record


def load_best(model: Model, job: Job) -> int:
    """Give a model the weights of the epoch with the highest validation bound; return which it was."""
    checkpoint = read_checkpoint(join(job.checkpoints, BEST))
    model.load_state_dict(weights_of(checkpoint))
    return checkpoint["epoch"] + 1


def check_finite(results: dict[str, dict[str, dict]]) -> None:
    """Raise TrainingDiverged if any number of a run is not finite."""
    for split, columns in results.items():
        for name, estimate in columns.items():
            if not all(isfinite(v) for v in estimate.values() if isinstance(v, float)):
                raise TrainingDiverged(f"{name} on the {split} split is {estimate['value']}")


def check_against_uniform(results: dict[str, dict[str, dict]], model: Model, levels: int) -> None:
    """Raise TrainingDiverged if a model is far worse than the uniform one on its training split.

    The uniform model has log2 L bits/dim. A model whose numbers bound nothing is held against it
    too: without dequantization they fall, and what rises has diverged like any other.
    """
    uniform, bits = log2(levels), results["train"]["bits_per_dim"]["value"]
    most = uniform + DIVERGENCE_MARGIN + cost_of_fixed_scale(model)
    if bits > most:
        raise TrainingDiverged(
            f"{bits:.6g} bits/dim on the training split, where the uniform model has {uniform:.6g} "
            f"and more than {most:.6g} is no result"
        )


def cost_of_fixed_scale(model: Model) -> float:
    """Return how many bits/dim a normal of given σ may lose to the uniform model; 0 without one.

    −log2 N(x; μ, σ²) with x and μ at opposite ends of [0, 1]: a narrow σ costs that much until its
    mean is learned, and a wide one always, whatever the training does.
    """
    sigma = getattr(getattr(model, "decoder", None), "sigma", None)
    if not isinstance(sigma, (int, float)):
        return 0.0
    return max(0.0, log2(sigma * sqrt(2 * pi)) + 0.5 / (sigma**2 * log(2)))


def describe_data(data: TaskData) -> dict:
    return {
        "data": {
            "payload_sha256": data.payload_sha256,
            "split_sha256": data.split_sha256,
            "dimensions": data.dimensions,
            "levels": data.task.levels,
            "sizes": {"train": len(data.train), "test": len(data.test)},
        }
    }


def evaluate_model(
    model: Model, data: TaskData, config: dict, device: str, progress: Progress
) -> tuple[dict, dict[str, Tensor]]:
    """Return all estimates as plain data, and the images to show, for a fitted model."""
    torch.set_num_threads(config["trainer"]["threads"])
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(True)
    model.to(device).eval()
    model.attach(data.train.to(device))
    seed = derive_seed(config["seed"], "evaluation")
    results = evaluate(
        model,
        data,
        evaluation_config(config),
        seed,
        device,
        lambda share: progress("evaluate", share, ""),
    )
    plain = {
        split: {name: estimate._asdict() for name, estimate in columns.items()}
        for split, columns in results.items()
    }
    return plain, shown_images(model, data, seed, device)
