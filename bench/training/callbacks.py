"""What a run's training adds to Lightning's loop: stopping, curves, progress."""

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, EarlyStopping

from bench.settings import Progress
from bench.training.module import GenerativeModel

# Between two progress texts of one epoch; a rank prints each of them to the worker that started it.
PROGRESS_SECONDS = 2.0


class ResumedStopping(EarlyStopping):
    """Early stopping that also stops a run that was interrupted between its last epoch and its record."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class EpochCallback(Callback):
    """Passes each epoch's point of every curve on, and puts the description into checkpoints."""

    def __init__(self, description: dict[str, Any], curve: Callable[[dict[str, float]], object]):
        self.description, self.curve = description, curve

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, GenerativeModel)
        self.curve(pl_module.epoch_summary())

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["bench"] = self.description


class ProgressCallback(Callback):
    """Reports the share of epochs done and the current bound, and keeps time and stack in checkpoints."""

    def __init__(self, progress: Progress, stacked: int = 1):
        self.progress, self.started, self.before = progress, time.perf_counter(), 0.0
        self.stacked = stacked
        self.reported, self.bound = 0.0, ""

    def state_dict(self) -> dict[str, float]:
        seconds = self.before + time.perf_counter() - self.started
        return {"seconds": seconds, "stacked": self.stacked}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.before = state_dict["seconds"]
        self.stacked = max(self.stacked, int(state_dict.get("stacked", 1)))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.report(trainer, 0.0)

    def on_train_batch_end(  # the parameters are Lightning's
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        # An epoch of a convolutional flow takes minutes.
        if time.perf_counter() - self.reported > PROGRESS_SECONDS:
            self.report(trainer, (batch_idx + 1) / trainer.num_training_batches)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        bound = trainer.callback_metrics.get("validation_elbo")
        if bound is not None:
            self.bound = f", bound {bound.item():.2f} nats"
        self.report(trainer, 1.0)

    def report(self, trainer: pl.Trainer, share_of_epoch: float) -> None:
        self.reported = time.perf_counter()
        epoch, epochs = trainer.current_epoch, trainer.max_epochs or 1
        text = f"epoch {epoch + 1}/{epochs}{self.bound}"
        self.progress("train", (epoch + share_of_epoch) / epochs, text)
