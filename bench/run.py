"""One run: build, fit, evaluate, and return its record."""

import logging
import re
import time
import traceback
import warnings
from collections.abc import Callable
from math import isfinite
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from torch import Tensor

from bench.checkpoints import BEST, LAST, MovableCheckpoint, can_go_on, read_checkpoint
from bench.config import Job, evaluation_config, task_of, trainer_config
from bench.data.module import TaskDataModule
from bench.data.tasks import TaskData, load_task
from bench.errors import InputError
from bench.estimators.evaluate import evaluate
from bench.models.generative import GenerativeModel, TrainingDiverged
from bench.models.terms import Model
from bench.noise import derive_seed
from bench.parsing import build_model
from bench.pictures import grid_of, png, shown_images
from bench.record import code_version, environment
from bench.tracking import tracked

# (phase, share done in [0, 1], text): called often, must be cheap.
Report = Callable[[str, float, str], None]


def run(job: Job, report: Report = lambda phase, share, text: None) -> dict:
    """Do a run and return its record; what goes wrong in training becomes a failed record.

    Input errors are raised: they are the user's to mend, and no result.
    """
    quiet()
    config = job.config
    task = task_of(config)
    record = {
        "key": job.key,
        "config": config,
        "task": task.name,
        "model": job.model,
        "seed": config["seed"],
    }
    started = time.perf_counter()
    try:
        record |= measured(job, record, report)
    except (InputError, KeyboardInterrupt):
        raise
    except Exception as error:
        directory = Path(job.directory)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "error.txt").write_text(traceback.format_exc())
        record |= {"status": "failed", "reason": reason_of(error)}
        data = load_task(task)
        record |= describe_data(data) | {"environment": environment(device_of_this_process())}
    record["timing"] = record.get("timing", {}) | {"total_seconds": time.perf_counter() - started}
    return record


def reason_of(error: Exception) -> str:
    """Return why a run failed, in a line without anybody's paths."""
    if isinstance(error, TrainingDiverged):
        return f"diverged: {error}"
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "out of memory"
    text = re.sub(r"(/[\w.-]+)+/", "…/", " ".join(str(error).split()))
    return f"{type(error).__name__}: {text[:300]}"


def measured(job: Job, identity: dict, report: Report) -> dict:
    """Build, fit and evaluate; return the record's results. ``identity`` says whose they are."""
    config = job.config
    torch.set_num_threads(config["trainer"]["threads"])
    device = device_of_this_process()
    data = load_task(task_of(config))
    model = build_model(config, data.shape, data.task.levels)
    directory = Path(job.directory)
    directory.mkdir(parents=True, exist_ok=True)
    trainable = any(p.requires_grad for p in model.parameters())
    with tracked(job, data.task.name, trainable) as tracker:
        fit_started = time.perf_counter()
        fitted: dict = {"epochs": 0, "history": []}
        if hasattr(model, "fit"):
            trace = model.fit(data.train)
            fitted["epochs"] = trace[-1]["iteration"] if trace else 0
        if trainable:
            fitted = fit(model, data, job, tracker.logger, report)
        evaluation_started = time.perf_counter()
        results, images = evaluate_model(model, data, config, device, report)
        check_finite(results)
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
            "environment": environment(device),
            "timing": {
                "fit_seconds": evaluation_started - fit_started,
                "evaluate_seconds": time.perf_counter() - evaluation_started,
            },
        } | describe_data(data)
        grids = {name: grid_of(grid, data) for name, grid in images.items()}
        tracker.finish(identity | record, grids)
    return record


def check_finite(results: dict[str, dict[str, dict]]) -> None:
    """Raise TrainingDiverged if any number of a run is not finite."""
    for split, columns in results.items():
        for name, estimate in columns.items():
            if not all(isfinite(v) for v in estimate.values() if isinstance(v, float)):
                raise TrainingDiverged(f"{name} on the {split} split is {estimate['value']}")


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


def fit(model: Model, data: TaskData, job: Job, logger, report: Report) -> dict:
    """Train with Lightning, going on from the last checkpoint if there is one; load the best.

    The best checkpoint is that of the highest validation bound.
    """
    settings = trainer_config(job.config)
    directory = Path(job.directory)
    code = code_version()["code_sha256"]
    description = {"config": job.config, "model": job.model, "code_sha256": code}
    module = GenerativeModel(model, settings, job.config["seed"], description)
    # Lightning's own save_last writes only when there is a new best: two callbacks are needed to
    # go on from the last epoch. The last is saved after the best, whose state it holds.
    checkpoints = [
        MovableCheckpoint(
            dirpath=directory,
            filename=name.removesuffix(".ckpt"),
            monitor=monitor,
            mode="max",
            every_n_epochs=settings.validate_every,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        for name, monitor in ((BEST, "validation_elbo"), (LAST, None))
    ]
    stopping = EarlyStopping(
        "validation_elbo",
        mode="max",
        patience=settings.patience,
        check_finite=False,
        check_on_train_epoch_end=False,
    )
    device = device_of_this_process()
    model.attach(data.train.to(device))
    trainer = pl.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        max_epochs=settings.max_epochs,
        check_val_every_n_epoch=settings.validate_every,
        num_sanity_val_steps=0,
        logger=logger or False,
        callbacks=[*checkpoints, stopping, ProgressCallback(report)],
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=10**9,
        use_distributed_sampler=False,
        deterministic=True,
    )
    resume = directory / LAST
    going_on = all(can_go_on(directory / name, description) for name in (LAST, BEST))
    module_data = TaskDataModule(data, settings.batch_size, job.config["seed"])
    try:
        trainer.fit(
            module,
            module_data,
            ckpt_path=resume if going_on else None,
            weights_only=going_on or None,
        )
    except SystemExit:  # how Lightning ends on Ctrl-C
        raise KeyboardInterrupt from None
    best = read_checkpoint(directory / BEST)
    module.load_state_dict(best["state_dict"])
    return {
        "epochs": trainer.current_epoch,
        "best_epoch": best["epoch"] + 1,
        "history": module.history,
    }


def evaluate_model(
    model: Model, data: TaskData, config: dict, device: str, report: Report
) -> tuple[dict, dict[str, Tensor]]:
    """Return all estimates as plain data, and the images to show, for a fitted model."""
    torch.set_num_threads(config["trainer"]["threads"])
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
        lambda share: report("evaluate", share, ""),
    )
    plain = {
        split: {name: estimate._asdict() for name, estimate in columns.items()}
        for split, columns in results.items()
    }
    return plain, shown_images(model, data, seed, device)


class ProgressCallback(Callback):
    """Reports the share of epochs done and the current bound."""

    def __init__(self, report: Report):
        self.report = report

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        bound = trainer.callback_metrics.get("validation_elbo")
        text = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        if bound is not None:
            text += f", bound {bound.item():.2f} nats"
        self.report("train", (trainer.current_epoch + 1) / trainer.max_epochs, text)


def device_of_this_process() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def quiet() -> None:
    """Silence Lightning's notices, which would be repeated for every run of a sweep."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    for pattern in (
        ".*num_workers.*",
        ".*LeafSpec.*",
        ".*exists and is not empty.*",
        ".*`training_step`.*",
    ):
        warnings.filterwarnings("ignore", pattern)
