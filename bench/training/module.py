"""The LightningModule that trains any model of the protocol by stochastic gradient ascent."""

from collections.abc import Callable, Iterator
from math import cos, isfinite, log, pi

import pytorch_lightning as pl
import torch
from torch import Tensor

from bench.errors import InputError
from bench.estimators.estimate import MeanEstimate
from bench.models.terms import Model, Terms
from bench.noise import Noise
from bench.settings import TrainerConfig
from bench.training.adam import Adam

OPTIMIZERS = {
    "adam": Adam,
    "rmsprop": torch.optim.RMSprop,
    "sgd": lambda parameters, rate: torch.optim.SGD(parameters, rate, fused=True),
}

# Shares of the training at which the stages of the schedule "tripling" start.
TRIPLING_STARTS = [(3**i - 1) / (3**8 - 1) for i in range(8)]


class TrainingDiverged(RuntimeError):
    """The objective is no longer a finite number, or what was trained is no model of its data."""


class GenerativeModel(pl.LightningModule):
    """Maximizes the mean of the model's objective over mini-batches; validates the ELBO.

    Training noise is a function of (seed, epoch, step) alone and the validation noise of (seed,
    block), so that a run cut off after an epoch goes on exactly as it would have.

    Args:
        model: The model to train.
        trainer_config: Optimizer and schedule.
        seed: The run's seed.
        description: Plain data that checkpoints carry: the configuration and the model's name.
        curve: Is told each epoch's ``point``.
    """

    def __init__(
        self,
        model: Model,
        trainer_config: TrainerConfig,
        seed: int,
        description: dict,
        curve: Callable[[dict], None] | None = None,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.model, self.settings, self.seed = model, trainer_config, seed
        self.description, self.curve = description, curve
        self.validation_elbo = MeanEstimate()
        self.history: list[dict] = []
        encoder = {id(p) for p in model.encoder_parameters()}
        trained = [p for p in model.parameters() if p.requires_grad]
        self.halves = [[p for p in trained if (id(p) in encoder) == own] for own in (True, False)]
        if trainer_config.encoder_steps and not all(self.halves):
            raise InputError(
                "trainer.encoder_steps: this model has no encoder and decoder to train by turns; "
                "leave it and trainer.decoder_steps at 0"
            )

    def beta(self) -> float:
        """Return the weight of the KL in this epoch: β, reached linearly during the warm-up."""
        warmup = self.settings.kl_warmup_epochs
        progress = min(1.0, (self.current_epoch + 1) / warmup) if warmup else 1.0
        return self.settings.beta * progress

    def objective(self, terms: Terms) -> Tensor:
        """Return what is maximized, per datum, at this epoch's weight of the KL."""
        if self.settings.objective == "elbo":
            return self.model.objective(terms, self.beta())
        weights = terms.log_weights(self.beta())
        return weights.logsumexp(0) - log(len(weights))

    def on_fit_start(self) -> None:
        self.model.attach(self.trainer.datamodule.data.train.to(self.device))

    def on_train_start(self) -> None:
        # A run that was cut off between its last epoch and its record must not train on.
        stopping = self.trainer.early_stopping_callback
        if stopping is not None and stopping.wait_count >= stopping.patience:
            self.trainer.should_stop = True

    def learning_rate(self) -> float:
        """Return this epoch's step size."""
        settings = self.settings
        share = self.current_epoch / settings.max_epochs
        if settings.schedule == "cosine":
            return settings.learning_rate * 0.5 * (1 + cos(pi * share))
        if settings.schedule == "tripling":
            stage = sum(share >= start for start in TRIPLING_STARTS[1:])
            return settings.learning_rate * 10 ** (-stage / 7)
        return settings.learning_rate

    def move_one_half(self, step: int) -> None:
        """Let only the encoder, or only the rest, move in the ``step``-th step of the training."""
        phases = self.settings.encoder_steps, self.settings.decoder_steps
        if not any(phases):
            return
        turn = step % sum(phases)
        for half, moves in zip(self.halves, (turn < phases[0], turn >= phases[0])):
            for parameter in half:
                parameter.requires_grad_(moves)

    def on_train_end(self) -> None:
        for parameter in (p for half in self.halves for p in half):
            parameter.requires_grad_(True)

    def on_train_epoch_start(self) -> None:
        for group in self.optimizers().param_groups:
            group["lr"] = self.learning_rate()
        self.noise = Noise(
            self.seed,
            "training",
            self.current_epoch,
            device=self.device,
            rank=self.global_rank,
            world=self.trainer.world_size,
        )
        # Each step's means, looked at once an epoch: a look at every step would stop a GPU.
        self.elbos: list[Tensor] = []
        self.reconstructions: list[Tensor] = []
        self.validated: dict[str, float] = {}
        self.steps = 0

    def training_step(self, batches: tuple[int, Iterator[tuple[Tensor, Tensor]]], _: int) -> None:
        """Take one optimizer step for each of so many mini-batches.

        Lightning's own work for a step takes as long as a small network's; doing it once for many
        mini-batches is what makes this loop as fast as a bare one.
        """
        optimizer = self.optimizers()
        before = self.current_epoch * self.trainer.train_dataloader.steps + self.steps
        number, mini_batches = batches
        trained, several = sum(self.halves, []), self.trainer.world_size > 1
        for position, (y, index) in enumerate(mini_batches):
            self.move_one_half(before + position)
            if self.settings.compile == "cuda_graphs":
                # What the last step's graphs put out is not needed any more.
                torch.compiler.cudagraph_mark_step_begin()
            terms = self.model.terms(y, self.noise, self.settings.samples, index)
            loss = -self.objective(terms).mean()
            self.elbos.append(terms.elbo.detach().mean())
            self.reconstructions.append(terms.reconstruction.detach().mean())
            for parameter in trained:
                parameter.grad = None
            # Lightning's way readies ranks for the gradients. Its hooks, which nobody uses here, and
            # the optimizer's own zero_grad take 3 % of a small network's step.
            self.manual_backward(loss) if several else loss.backward()
            if self.settings.normalize_gradients:
                for gradient in (p.grad for p in self.parameters() if p.grad is not None):
                    gradient.div_(gradient.norm() + 1e-7)
            if self.settings.gradient_clip_norm:
                torch.nn.utils.clip_grad_norm_(self.parameters(), self.settings.gradient_clip_norm)
            # Lightning counts only the steps of its own wrapper, and saves no checkpoint while
            # that count stands still: the last step of them goes through it.
            last = position == number - 1
            (optimizer if last else optimizer.optimizer).step()
        self.steps += number
        self.has_kl = terms.kl_analytic is not None or terms.log_posterior is not None

    def on_train_epoch_end(self) -> None:
        elbos = self.means(self.elbos)
        elbo = elbos.mean().item()
        self.log("train_elbo", elbo)
        if not isfinite(elbo):
            raise TrainingDiverged(self.where_it_diverged(elbos))
        if (self.current_epoch + 1) % self.settings.validate_every == 0:
            validation = self.trainer.callback_metrics["validation_elbo"].item()
            if not isfinite(validation):
                raise TrainingDiverged(
                    f"the validation bound became {validation} in epoch "
                    f"{self.current_epoch + 1}; last finite training ELBO: {elbo:.6g} nats"
                )
            self.history.append(
                {"epoch": self.current_epoch + 1, "train_elbo": elbo, "validation_elbo": validation}
            )
        if self.curve is not None:
            self.curve(self.point(elbo, self.means(self.reconstructions).mean().item()))

    def means(self, values: list[Tensor]) -> Tensor:
        """Return each step's mean over the ranks, (steps,), float64 on the CPU."""
        return self.trainer.strategy.reduce(torch.stack(values).double(), reduce_op="mean").cpu()

    def point(self, elbo: float, reconstruction: float) -> dict[str, float]:
        """Return this epoch's point of every curve: bounds and their terms in nats per datum.

        Those of the training split are means over the epoch's steps, while the model moved; those of
        the validation split, which is only there in validated epochs, are of the model at its end.
        ``step`` counts optimizer steps. A model without q(z|y), as a flow, has no KL.
        """
        point = {
            "step": (self.current_epoch + 1) * self.trainer.train_dataloader.steps,
            "epoch": self.current_epoch + 1,
            "learning_rate": self.learning_rate(),
            "beta": self.beta(),
            "train_elbo": elbo,
            "train_reconstruction": reconstruction,
        } | self.validated
        if self.has_kl:
            for split in ("train", "validation") if self.validated else ("train",):
                point[f"{split}_kl"] = point[f"{split}_reconstruction"] - point[f"{split}_elbo"]
        return point

    def where_it_diverged(self, elbos: Tensor) -> str:
        """Say at which step the objective was not finite, and what was last seen finite."""
        step = int((~elbos.isfinite()).nonzero()[0])
        seen = f"{elbos[step - 1].item():.6g} in the step before" if step else "none in this epoch"
        if not step and self.history:
            seen += f", {self.history[-1]['train_elbo']:.6g} in epoch {self.history[-1]['epoch']}"
        return (
            f"the training objective became {elbos[step].item()} in step {step + 1} of epoch "
            f"{self.current_epoch + 1}; last finite ELBO: {seen} (nats)"
        )

    def on_validation_epoch_start(self) -> None:
        self.validation_reconstruction = torch.zeros((), dtype=torch.float64, device=self.device)

    def validation_step(self, batch: tuple[Tensor, int], step: int) -> None:
        y, block = batch
        if not len(y):  # a rank without a block of its own in this round
            return
        noise = Noise(self.seed, "validation", block, device=self.device)
        terms = self.model.terms(y, noise)
        self.validation_elbo.update(terms.elbo)
        self.validation_reconstruction += terms.reconstruction.double().mean(0).sum()

    def on_validation_epoch_end(self) -> None:
        bound = self.validation_elbo.compute()
        self.log("validation_elbo", bound.value)
        total = self.trainer.strategy.reduce(self.validation_reconstruction, reduce_op="sum")
        self.validated = {
            "validation_elbo": bound.value,
            "validation_reconstruction": total.item() / bound.n,
        }
        self.validation_elbo.reset()

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        checkpoint["history"] = self.history
        checkpoint["bench"] = self.description

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.history = checkpoint["history"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        parameters = [p for p in self.parameters() if p.requires_grad]
        return OPTIMIZERS[self.settings.optimizer](parameters, self.settings.learning_rate)
