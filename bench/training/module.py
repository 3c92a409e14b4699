"""The LightningModule that trains any model of the protocol by stochastic gradient ascent."""

from math import isfinite, log
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from bench.estimators.estimate import MeanEstimate
from bench.estimators.evaluate import terms_of_block
from bench.estimators.surgery import ELBOSurgery
from bench.models.terms import Model, Terms
from bench.noise import Noise, derive_seed
from bench.records.types import EpochRecord
from bench.settings import EvaluationConfig, Optimization
from bench.training.batches import Batch, Group, TaskDataModule
from bench.training.epoch import EpochMeans, TrainingDiverged, has_kl
from bench.training.halves import Halves
from bench.training.loaders import (
    IndexOf,
    check_images,
    check_task,
    images_of,
    training_images,
)
from bench.training.optimizers import learning_rate_factor, make_optimizer, normalize_gradients


class GenerativeModel(pl.LightningModule):
    """Trains a model by maximizing the mean of its objective over mini-batches.

    Batches are those of ``TaskDataModule``, or uint8 images (batch, …) of any DataLoader, alone or
    as the first of several entries. Training noise is a function of (seed, epoch) and validation
    noise of (seed, block of data), so that a training that is resumed at the end of an epoch gives
    the weights of one that was never interrupted.

    Logged, in nats per datum: ``train_elbo``, ``train_reconstruction`` and ``train_kl`` (means over
    an epoch, while the model moves), ``validation_elbo``, ``validation_reconstruction`` and
    ``validation_kl``, and by ``Trainer.test`` the columns of ``ELBOSurgery`` as ``test_…``.

    Args:
        model: The model to train.
        optimization: What is maximized, and by which steps.
        seed: Training, validation and test noise derive from it.

    Raises:
        InputError: An encoder and a decoder are to be trained in turn, and the model has none.
        TrainingDiverged: At the end of an epoch whose objective was not finite.

    Examples:
        >>> from bench.models.realnvp import RealNVP
        >>> GenerativeModel(RealNVP((1, 8, 8), 17), Optimization(beta=2.0)).beta()
        2.0
    """

    def __init__(self, model: Model, optimization: Optimization = Optimization(), seed: int = 1):
        super().__init__()
        self.model, self.optimization, self.seed = model, optimization, seed
        self.validation_elbo = MeanEstimate()
        self.validation_reconstruction = MeanEstimate()
        self.test_elbo, self.test_reconstruction = MeanEstimate(), MeanEstimate()
        self.test_surgery = ELBOSurgery()
        self.history: list[EpochRecord] = []
        self.means = EpochMeans()
        self.validated: dict[str, float] = {}
        self._training_images: Tensor | None = None
        self._epoch = -1
        self._index_of: IndexOf | None = None
        self.excludes_own = getattr(getattr(model, "prior", None), "excludes_own", False)
        self.halves = Halves(model, optimization)

    def attach(self, training_images: Tensor) -> None:
        """Give the model the training split, uint8 (n, …), which some priors and flows are made of.

        Lightning's ``fit`` does so by itself.
        """
        images = images_of(training_images).images
        check_images(images, self.model.shape, self.model.levels)
        self.model.attach(images.to(self.device))
        self._training_images, self._index_of = images, None

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        # Those that an interrupted alternating training has left without gradients, too.
        self.halves.release()
        self.halves.find()
        optimizer = make_optimizer(self.optimization, self.halves.parameters)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.learning_rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler}}

    def learning_rate_factor(self, epoch: int) -> float:
        """Return the factor of the learning rate in an epoch, counted from 0."""
        return learning_rate_factor(self.optimization, epoch, self.trainer.max_epochs)

    def beta(self) -> float:
        """Return the weight of the KL in this epoch: β, reached linearly during the warm-up."""
        warmup = self.optimization.kl_warmup_epochs
        progress = min(1.0, (self.current_epoch + 1) / warmup) if warmup else 1.0
        return self.optimization.beta * progress

    def objective(self, terms: Terms, kl_weight: float | Tensor) -> Tensor:
        """Return what is maximized, per datum, at this weight of the KL."""
        if self.optimization.objective == "elbo":
            return self.model.objective(terms, kl_weight)
        weights = terms.log_weights(kl_weight)
        return weights.logsumexp(0) - log(len(weights))

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean of the negative objective over a mini-batch, in nats."""
        terms = self.model.terms(batch.images, self.noise, self.optimization.samples, batch.indices)
        self.means.add(terms)
        return -self.objective(terms, self.beta()).mean()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        batch = self.checked(batch)
        if batch.indices is None and self.excludes_own and self._training_images is not None:
            if self._index_of is None:
                self._index_of = IndexOf(self._training_images)
            batch = self._index_of(batch)
        return self.loss(batch)

    def checked(self, batch: Any) -> Batch:
        """Return a loader's batch as images (batch, D) that can be the model's."""
        if isinstance(batch, Batch):
            return batch
        batch = images_of(batch)
        check_images(batch.images, self.model.shape, self.model.levels)
        return batch

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Check a loader's batch where it lies; on a GPU the check would wait."""
        return batch if isinstance(batch, (Batch, Group)) else self.checked(batch)

    def on_fit_start(self) -> None:
        self.check_data_module()
        if self._training_images is None or isinstance(self.trainer.datamodule, TaskDataModule):
            self.attach(training_images(self.trainer))
        # The same object in every epoch, because captured graphs draw from it.
        place = {"rank": self.global_rank, "world": self.trainer.world_size}
        self.noise = Noise(device=self.device, on_device=True, **place)

    def check_data_module(self) -> None:
        """Raise InputError if the data module's task has images that are not the model's."""
        if isinstance(self.trainer.datamodule, TaskDataModule):
            check_task(self.trainer.datamodule.data, self.model.shape, self.model.levels)

    def on_train_start(self) -> None:
        if not self.current_epoch:
            self.history = []

    def on_train_epoch_start(self) -> None:
        self.begin_epoch()

    def begin_epoch(self) -> None:
        self._epoch = self.current_epoch
        self.noise.restart(self.seed, "training", self.current_epoch)
        self.means.clear()
        self.validated = {}

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # Lightning does not start an epoch that it resumes in its middle.
        if self._epoch != self.current_epoch:
            self.begin_epoch()
        self.halves.select(self.global_step)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.optimization.normalize_gradients:
            normalize_gradients(self.parameters())

    def on_train_epoch_end(self) -> None:
        summary = self.epoch_summary()
        self.log_dict({name: summary[name] for name in summary if name.startswith("train_")})
        if self.validated:
            self.history.append(
                {
                    "epoch": self.current_epoch + 1,
                    "train_elbo": summary["train_elbo"],
                    "validation_elbo": summary["validation_elbo"],
                }
            )

    def on_train_end(self) -> None:
        self._epoch = -1
        self.halves.release()

    def epoch_summary(self) -> dict[str, float]:
        """Return this epoch's point of every curve: bounds and their terms in nats per datum.

        Those of the training split are means over the epoch's steps, while the model moved; those of
        the validation split, which only validated epochs have, are of the model at its end. A model
        without q(z|y), as a flow, has no KL.

        Raises:
            TrainingDiverged: The objective or the validation bound is not finite.
        """
        epoch, rate = self.current_epoch + 1, self.learning_rate_factor(self.current_epoch)
        mean = lambda values: self.trainer.strategy.reduce(values, reduce_op="mean")
        means = self.means.summary(mean, epoch, self.history)
        validation = self.validated.get("validation_elbo", 0.0)
        if not isfinite(validation):
            raise TrainingDiverged(
                f"the validation bound became {validation} in epoch {epoch}; last finite training "
                f"ELBO: {means['train_elbo']:.6g} nats"
            )
        return (
            {
                "step": self.global_step,
                "epoch": epoch,
                "learning_rate": self.optimization.learning_rate * rate,
                "beta": self.beta(),
            }
            | means
            | self.validated
        )

    def on_validation_start(self) -> None:
        """Give a prior that is made of the training split that of the data module, if it has none."""
        self.check_data_module()
        prior: Any = getattr(self.model, "prior", None)
        data_module = self.trainer.datamodule
        has_data = isinstance(data_module, TaskDataModule)
        if self.excludes_own and prior.images is None and has_data:
            prior.attach(data_module.data.train.to(self.device))

    on_test_start = on_predict_start = on_validation_start

    def block(self, batch_idx: int) -> int:
        """Return the number of a rank's batch among those of all ranks, which its noise is of."""
        return batch_idx * self.trainer.world_size + self.global_rank

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        y = self.checked(batch).images
        if not len(y):  # a rank without a block of its own in this round
            return
        noise = Noise(self.seed, "validation", self.block(batch_idx), device=self.device)
        # A trainer's mixed precision is for training alone.
        with torch.autocast(self.device.type, enabled=False):
            terms = self.model.terms(y, noise)
        self.validation_elbo.update(terms.elbo)
        self.validation_reconstruction.update(terms.reconstruction)
        self.means.has_kl = has_kl(terms)

    def on_validation_epoch_end(self) -> None:
        elbo = self.validation_elbo.estimate().value
        reconstruction = self.validation_reconstruction.estimate().value
        self.validated = {"validation_elbo": elbo, "validation_reconstruction": reconstruction}
        if self.means.has_kl:
            self.validated["validation_kl"] = reconstruction - elbo
        self.log_dict(self.validated)
        self.validation_elbo.reset()
        self.validation_reconstruction.reset()

    def terms_of(self, batch: Any, batch_idx: int, split: str) -> Terms:
        """Return the terms on as many samples, and with the noise, as ``bench.evaluate`` takes."""
        y, samples = self.checked(batch).images, EvaluationConfig().elbo_samples
        seed = derive_seed(self.seed, "evaluation")
        with torch.autocast(self.device.type, enabled=False):
            return terms_of_block(self.model, y, samples, seed, split, self.block(batch_idx))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        terms = self.terms_of(batch, batch_idx, "test")
        if terms.posterior is not None:
            self.test_surgery.update(terms)
        else:
            self.test_elbo.update(terms.elbo)
            self.test_reconstruction.update(terms.reconstruction)

    def on_test_epoch_end(self) -> None:
        if self.test_elbo.update_called:
            columns = {
                "elbo": self.test_elbo.compute(),
                "reconstruction": self.test_reconstruction.compute(),
            }
        else:
            # Without the columns of the prior swapped for q_agg of the training split.
            surgery = self.test_surgery.compute()
            columns = {n: v for n, v in surgery.items() if not n.endswith("_aggregate")}
        self.log_dict({f"test_{name}": value for name, value in columns.items()})
        for metric in (self.test_elbo, self.test_reconstruction, self.test_surgery):
            metric.reset()

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the ELBO of each datum, (batch,), in nats."""
        return self.terms_of(batch, batch_idx, "predict").elbo.mean(0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint.get("history", [])
