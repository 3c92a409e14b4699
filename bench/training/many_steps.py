"""The loop that sweeps train with: many gradient steps in each training step of Lightning."""

from typing import Any

import torch

from bench.models.terms import Model
from bench.settings import Optimization
from bench.training.batches import Group
from bench.training.module import GenerativeModel
from bench.training.optimizers import normalize_gradients

# Mini-batches of one training step of Lightning's.
BATCHES_AT_ONCE = 50


class ManySteps(GenerativeModel):
    """A ``GenerativeModel`` that takes one gradient step for each mini-batch of a group of them.

    The work that Lightning's loop does around a step takes about as long as a small network's step.
    Here it is done once for a group of mini-batches, and the weights are bit for bit those of the
    plain module. It is for one device, and its loader yields ``Group``s, as
    ``TaskDataModule(…, batches_at_once=50)`` does.

    Args:
        model: The model to train.
        optimization: What is maximized, and by which steps.
        seed: Training and validation noise derive from it.
        gradient_clip_norm: Largest Euclidean norm of the gradient; 0 does not clip. It takes the
            place of the Trainer's gradient_clip_val, which is for the plain module.
    """

    def __init__(
        self, model: Model, optimization: Optimization, seed: int, gradient_clip_norm: float = 0.0
    ):
        super().__init__(model, optimization, seed)
        self.automatic_optimization = False
        self.gradient_clip_norm = gradient_clip_norm

    def training_step(self, group: Group, batch_idx: int) -> None:  # type: ignore[override]  # steps by itself, and has no loss to return
        optimizer: Any = self.optimizers()
        before, trained = self.global_step, self.halves.parameters
        for position, batch in enumerate(group.batches):
            self.halves.select(before + position)
            loss = self.loss(batch)
            # The optimizer's own zero_grad and Lightning's hooks around a backward pass, which
            # nobody uses here, take 3 % of a small network's step.
            for parameter in trained:
                parameter.grad = None
            loss.backward()
            if self.optimization.normalize_gradients:
                normalize_gradients(trained)
            if self.gradient_clip_norm:
                torch.nn.utils.clip_grad_norm_(self.parameters(), self.gradient_clip_norm)
            # Lightning counts the steps of its own wrapper, of which it needs one in each of its
            # training steps; the others are counted below.
            is_last = position == group.number - 1
            (optimizer if is_last else optimizer.optimizer).step()
        self.count_steps(group.number - 1)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Leave gradients as they are: Lightning calls this for its own wrapper's steps alone."""

    def count_steps(self, number: int) -> None:
        """Add gradient steps to ``global_step``, which Lightning has not seen."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for counter in (progress.total, progress.current):
            counter.ready += number
            counter.completed += number

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        scheduler: Any = self.lr_schedulers()
        scheduler.step()
