"""Training of one run with Lightning, on one device or as one of several ranks."""

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.environments import LightningEnvironment

from bench.data.tasks import TaskData
from bench.models.terms import Model
from bench.networks.mlp import Network
from bench.records.types import EpochRecord
from bench.settings import Progress, TrainerConfig
from bench.system.cublas import same_workspace
from bench.system.determinism import deterministic
from bench.training.batches import TaskDataModule
from bench.training.callbacks import EpochCallback, ProgressCallback, ResumedStopping
from bench.training.checkpoints import (
    BEST,
    LAST,
    MovableCheckpoint,
    can_resume,
    join,
)
from bench.training.many_steps import BATCHES_AT_ONCE, ManySteps
from bench.training.module import GenerativeModel
from bench.training.rare_checkpoints import RareCheckpointIO
from bench.training.rendezvous import OneMachine
from bench.training.together import Seat, seat_of_one

# Of ranks on the CPU and of GPUs.
BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


@dataclass(frozen=True)
class TrainingPlan:
    """How and where a run trains.

    Attributes:
        settings: Objective, steps and stopping.
        seed: The run's seed.
        directory: The run's folder, where Lightning may write.
        checkpoints: Folder or fsspec address of the checkpoints.
        description: Plain data that checkpoints carry; one of another description is not resumed.
    """

    settings: TrainerConfig
    seed: int
    directory: str
    checkpoints: str
    description: dict[str, Any]


@dataclass(frozen=True)
class Listeners:
    """Functions that a training calls.

    Attributes:
        progress: Called with the share of epochs that are done.
        note: Called with a line for the user.
        curve: Called with each epoch's point of every curve, ``GenerativeModel.epoch_summary``.
        callbacks: Lightning's callbacks, which come before the training's own.
    """

    progress: Progress
    note: Callable[[str], object]
    curve: Callable[[dict[str, float]], object] = lambda point: None
    callbacks: Sequence[Callback] = field(default=())


class Fitted(TypedDict):
    """What a training returns: epochs, validated epochs, seconds before it was interrupted.

    ``stacked`` is the largest number of runs that it trained together with, itself included.
    """

    epochs: int
    history: list[EpochRecord]
    seconds_before: float
    stacked: int


def fit(
    model: Model,
    data: TaskData,
    plan: TrainingPlan,
    devices: list[torch.device],
    listeners: Listeners,
    seat: Seat | None = None,
) -> Fitted:
    """Train, resuming from the last checkpoint if there is one.

    A run with a seat takes its gradient steps together with those of other runs. On a GPU, steps are
    captured as a CUDA graph.

    With several devices this process is one of the ranks, and Lightning starts the others by the
    command that started this one. The networks of a compiled model stay compiled. Afterwards the
    checkpoints of the best epoch (by the validation bound) and of the last one are in the plan's
    place.
    """
    deterministic()
    settings, is_alone = plan.settings, len(devices) == 1
    if seat is None and is_alone:
        seat = seat_of_one(devices[0], settings, BATCHES_AT_ONCE, listeners.note)
    # Ranks synchronise their gradients in every training step, so that each step is one mini-batch.
    module = (
        ManySteps(model, settings, plan.seed, settings.gradient_clip_norm, seat)
        if is_alone
        else GenerativeModel(model, settings, plan.seed)
    )
    if settings.compile != "none":
        # The networks alone: what lies between them draws noise from generators of its own.
        for network in (part for part in model.modules() if isinstance(part, Network)):
            network.compile()
    resuming, why_not = can_resume(plan.checkpoints, plan.description)
    if why_not:
        listeners.note(why_not)
    progress = ProgressCallback(listeners.progress, 1 if seat is None else seat.together.largest)
    with same_workspace():
        trainer = make_trainer(plan, devices, listeners, progress)
    try:
        trainer.fit(
            module,
            TaskDataModule(data, settings.batch_size, plan.seed, BATCHES_AT_ONCE * is_alone),
            ckpt_path=join(plan.checkpoints, LAST) if resuming else None,
            weights_only=resuming or None,
        )
    except SystemExit:  # how Lightning ends on Ctrl-C
        raise KeyboardInterrupt from None
    finally:
        # Frees the graph and its memory; others that train together go on.
        if seat is not None:
            seat.leave()
    checkpoints = trainer.strategy.checkpoint_io
    assert isinstance(checkpoints, RareCheckpointIO)  # make_trainer gave it
    checkpoints.finish()
    return {
        "epochs": trainer.current_epoch,
        "history": module.history,
        "seconds_before": progress.before,
        "stacked": progress.stacked,
    }


def make_trainer(
    plan: TrainingPlan,
    devices: list[torch.device],
    listeners: Listeners,
    progress: ProgressCallback,
) -> pl.Trainer:
    settings, is_alone, on_gpu = plan.settings, len(devices) == 1, devices[0].type == "cuda"
    clip_norm = settings.gradient_clip_norm if not is_alone else 0.0
    return pl.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=[device.index for device in devices] if on_gpu else len(devices),
        # A phase that moves one half leaves the parameters of the other unused.
        strategy="auto"
        if is_alone
        else OneMachine(
            process_group_backend=BACKENDS[devices[0].type], find_unused_parameters=True
        ),
        # Slurm's and others' ways to start ranks are for whole jobs; this is one run in a sweep.
        plugins=[RareCheckpointIO(), LightningEnvironment()],
        # Whatever Lightning looks for by itself, it looks for in the run's own folder.
        default_root_dir=plan.directory,
        precision=settings.precision,
        max_epochs=settings.max_epochs,
        check_val_every_n_epoch=settings.validate_every,
        gradient_clip_val=clip_norm or None,
        num_sanity_val_steps=0,
        logger=False,
        callbacks=[
            *listeners.callbacks,
            *checkpoint_callbacks(plan),
            ResumedStopping(
                "validation_elbo",
                mode="max",
                patience=settings.patience,
                check_finite=False,
                check_on_train_epoch_end=False,
            ),
            EpochCallback(plan.description, listeners.curve),
            progress,
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        deterministic=True,
    )


def checkpoint_callbacks(plan: TrainingPlan) -> list[MovableCheckpoint]:
    """Return what saves the best and the last epoch.

    Lightning's own save_last writes only when there is a new best, so that two callbacks are needed
    to resume from the last epoch. The last is saved after the best, whose state it holds.
    """
    return [
        MovableCheckpoint(
            dirpath=plan.checkpoints,
            filename=name.removesuffix(".ckpt"),
            monitor=monitor,
            mode="max",
            every_n_epochs=plan.settings.validate_every,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        for name, monitor in ((BEST, "validation_elbo"), (LAST, None))
    ]


def silence_lightning() -> None:
    """Silence Lightning's notices, which would be repeated for every run of a sweep."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for pattern in (
        ".*num_workers.*",
        ".*LeafSpec.*",
        ".*exists and is not empty.*",
        ".*`training_step`.*",
        ".*find_unused_parameters.*",
        ".*on_before_batch_transfer.*",
    ):
        warnings.filterwarnings("ignore", pattern)
