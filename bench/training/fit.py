"""Training of one run with Lightning, on one device or as one of several ranks."""

import time
from collections.abc import Callable

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.plugins.environments import LightningEnvironment

from bench.configuration.job import Job
from bench.data.tasks import TaskData
from bench.models.terms import Model
from bench.networks.mlp import Network
from bench.records.provenance import code_version
from bench.settings import Progress, trainer_config
from bench.training.batches import TaskDataModule
from bench.training.checkpoints import (
    BEST,
    LAST,
    CheckedCheckpointIO,
    MovableCheckpoint,
    can_go_on,
    join,
)
from bench.training.module import GenerativeModel
from bench.training.rendezvous import OneMachine

# Of ranks on the CPU and of GPUs.
BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
COMPILE_MODES = {"default": "default", "cuda_graphs": "reduce-overhead"}
# Between two reports of one epoch; a rank prints each of them to the worker that started it.
TELL_SECONDS = 2.0


def fit(
    model: Model,
    data: TaskData,
    job: Job,
    devices: list[torch.device],
    curve: Callable[[dict], None] | None,
    progress: Progress,
    note: Callable[[str], None],
    callbacks: list[Callback] = [],
) -> dict:
    """Train, going on from the last checkpoint if there is one.

    With several devices this process is one of the ranks (Lightning starts the others, by the
    command that started this one). A compiled model's networks stay so. The best checkpoint, that of
    the highest validation bound, and the last one stand in the job's storage afterwards. ``curve``
    is told each epoch's point of every curve: ``GenerativeModel.point``. Callbacks of the caller's
    are called before its own.

    Returns:
        epochs, history, and seconds_before: what this training took before it was cut off.
    """
    # TORCH_ALLOW_TF32_CUBLAS_OVERRIDE would shorten every product of matrices.
    torch.set_float32_matmul_precision("highest")
    settings = trainer_config(job.config)
    folder = job.checkpoints
    code = code_version()["code_sha256"]
    description = {"config": job.config, "model": job.model, "code_sha256": code}
    module = GenerativeModel(model, settings, job.config["seed"], description, curve)
    if settings.compile != "none":
        # The networks alone: what lies between them draws noise from generators of its own.
        for network in (part for part in model.modules() if isinstance(part, Network)):
            network.compile(mode=COMPILE_MODES[settings.compile])
    # Lightning's own save_last writes only when there is a new best: two callbacks are needed to
    # go on from the last epoch. The last is saved after the best, whose state it holds.
    checkpoints = [
        MovableCheckpoint(
            dirpath=folder,
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
    progress = ProgressCallback(progress)
    several = len(devices) > 1
    on_gpu = devices[0].type == "cuda"
    trainer = pl.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=[device.index for device in devices] if on_gpu else len(devices),
        # A phase that moves one half leaves the parameters of the other unused.
        strategy=OneMachine(
            process_group_backend=BACKENDS[devices[0].type], find_unused_parameters=True
        )
        if several
        else "auto",
        # Slurm's and others' ways to start ranks are for whole jobs; this is one run in a sweep.
        plugins=[CheckedCheckpointIO(), LightningEnvironment()],
        # Whatever Lightning looks for by itself, it looks for in the run's own folder.
        default_root_dir=job.directory,
        precision=settings.precision,
        max_epochs=settings.max_epochs,
        check_val_every_n_epoch=settings.validate_every,
        num_sanity_val_steps=0,
        logger=False,
        callbacks=[*callbacks, *checkpoints, stopping, progress],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        deterministic=True,
    )
    going_on, why_not = can_go_on(folder, description)
    if why_not:
        note(why_not)
    module_data = TaskDataModule(data, settings.batch_size, job.config["seed"])
    try:
        trainer.fit(
            module,
            module_data,
            ckpt_path=join(folder, LAST) if going_on else None,
            weights_only=going_on or None,
        )
    except SystemExit:  # how Lightning ends on Ctrl-C
        raise KeyboardInterrupt from None
    return {
        "epochs": trainer.current_epoch,
        "history": module.history,
        "seconds_before": progress.before,
    }


class ProgressCallback(Callback):
    """Reports the share of epochs done and the current bound, and keeps the time in checkpoints."""

    def __init__(self, progress: Progress):
        self.progress, self.started, self.before = progress, time.perf_counter(), 0.0
        self.told, self.bound = 0.0, ""

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.before + time.perf_counter() - self.started}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.before = state["seconds"]

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.tell(trainer, 0.0)

    def on_train_batch_end(self, trainer: pl.Trainer, module, outputs, batch, batch_idx) -> None:
        # An epoch of a convolutional flow takes minutes.
        if time.perf_counter() - self.told > TELL_SECONDS:
            self.tell(trainer, (batch_idx + 1) / trainer.num_training_batches)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        bound = trainer.callback_metrics.get("validation_elbo")
        if bound is not None:
            self.bound = f", bound {bound.item():.2f} nats"
        self.tell(trainer, 1.0)

    def tell(self, trainer: pl.Trainer, share_of_epoch: float) -> None:
        self.told = time.perf_counter()
        epoch, epochs = trainer.current_epoch, trainer.max_epochs
        text = f"epoch {epoch + 1}/{epochs}{self.bound}"
        self.progress("train", (epoch + share_of_epoch) / epochs, text)


def quiet() -> None:
    """Silence Lightning's notices, which would be repeated for every run of a sweep."""
    import logging
    import warnings

    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for pattern in (
        ".*num_workers.*",
        ".*LeafSpec.*",
        ".*exists and is not empty.*",
        ".*`training_step`.*",
        ".*find_unused_parameters.*",
    ):
        warnings.filterwarnings("ignore", pattern)
