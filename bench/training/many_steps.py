"""The loop that sweeps train with: many gradient steps in each training step of Lightning."""

from typing import Any

import torch
from torch import nn

from bench.models.terms import Model
from bench.settings import Optimization
from bench.training.batches import Group
from bench.training.module import GenerativeModel
from bench.training.optimizers import normalize_gradients
from bench.training.together import Seat

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
        seat: Takes the steps, together with those of other runs or captured as a CUDA graph; None
            takes them here, one operation after the other.
    """

    def __init__(
        self,
        model: Model,
        optimization: Optimization,
        seed: int,
        gradient_clip_norm: float = 0.0,
        seat: Seat | None = None,
    ):
        super().__init__(model, optimization, seed)
        self.automatic_optimization = False
        self.gradient_clip_norm, self.seat = gradient_clip_norm, seat
        self.kl_weight = torch.ones(())

    @property
    def parameters_to_move(self) -> list[nn.Parameter]:
        return self.halves.parameters

    @property
    def torch_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer that Lightning has wrapped."""
        wrapper: Any = self.optimizers()
        optimizer: torch.optim.Optimizer = wrapper.optimizer
        return optimizer

    def begin_epoch(self) -> None:
        super().begin_epoch()
        if self.kl_weight.device != self.device:
            self.kl_weight = torch.ones((), device=self.device)
        self.kl_weight.fill_(self.beta())

    def training_step(self, group: Group, batch_idx: int) -> None:  # type: ignore[override]  # steps by itself, and has no loss to return
        if self.seat is not None:
            self.seat.take(self, group)
            self.count_steps(len(group.indices))
            return
        optimizer: Any = self.optimizers()
        before, number = self.global_step, len(group.indices)
        for position, batch in enumerate(group.batches()):
            self.halves.select(before + position)
            loss = self.loss(batch)
            # The optimizer's own zero_grad and Lightning's hooks around a backward pass, which
            # nobody uses here, take 3 % of a small network's step.
            for parameter in self.parameters_to_move:
                parameter.grad = None
            loss.backward()
            self.condition_gradients()
            # Lightning counts the steps of its own wrapper, of which it needs one in each of its
            # training steps; the others are counted below.
            is_last = position == number - 1
            (optimizer if is_last else optimizer.optimizer).step()
        self.count_steps(number - 1)

    def move(self) -> None:
        """Move the weights by the gradients, normalized and clipped as the settings say."""
        self.condition_gradients()
        self.torch_optimizer.step()

    def condition_gradients(self) -> None:
        """Normalize and clip the gradients, if the settings say so."""
        if self.optimization.normalize_gradients:
            normalize_gradients(self.parameters_to_move)
        if self.gradient_clip_norm:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.gradient_clip_norm)

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
