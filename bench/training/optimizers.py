"""Optimizers and learning rates of a training, by their names in its settings."""

from collections.abc import Callable, Iterable
from math import cos, pi

import torch
from torch import nn

from bench.errors import InputError
from bench.settings import Optimization
from bench.training.adam import Adam

OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter], float], torch.optim.Optimizer]] = {
    "adam": Adam,
    "rmsprop": torch.optim.RMSprop,
    "sgd": lambda parameters, rate: torch.optim.SGD(parameters, rate, fused=True),
}
# Shares of the training at which the stages of the schedule "tripling" start.
TRIPLING_STARTS = [(3**i - 1) / (3**8 - 1) for i in range(8)]
# Keeps the quotient finite where a gradient is 0.
SMALLEST_NORM = 1e-7


def make_optimizer(
    optimization: Optimization, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    return OPTIMIZERS[optimization.optimizer](parameters, optimization.learning_rate)


def learning_rate_factor(optimization: Optimization, epoch: int, epochs: int | None) -> float:
    """Return the factor of the learning rate in an epoch, counted from 0, of ``epochs``.

    Raises:
        InputError: The schedule depends on the number of epochs, and that is not limited.
    """
    if optimization.schedule == "constant":
        return 1.0
    if epochs is None or epochs < 1:
        raise InputError(
            f"{optimization.group}.schedule: {optimization.schedule} needs Trainer(max_epochs=…), "
            "over which it lowers the learning rate"
        )
    share = epoch / epochs
    if optimization.schedule == "cosine":
        return 0.5 * (1 + cos(pi * share))
    return float(10.0 ** (-sum(share >= start for start in TRIPLING_STARTS[1:]) / 7))


def normalize_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Divide each parameter's gradient by its Euclidean norm."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch._foreach_norm(gradients)
    torch._foreach_add_(norms, SMALLEST_NORM)
    for gradient, norm in zip(gradients, norms):
        gradient.div_(norm)
