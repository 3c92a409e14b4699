"""A trained model, read back from its checkpoint with the data that it was trained on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from bench.configuration.models import build_model
from bench.configuration.parsing import validate
from bench.data.tasks import TaskData, load_task, task_of
from bench.errors import InputError
from bench.models.terms import Model
from bench.training.checkpoints import read_checkpoint, weights_of


@dataclass(frozen=True)
class Trained:
    """What a checkpoint holds.

    Attributes:
        model: The model with its trained weights, not yet attached to data or in evaluation mode.
        data: Its task's images.
        config: The canonical configuration of its run.
        name: The model's name in tables.
        epoch: Number of epochs that it was trained for.
    """

    model: Model
    data: TaskData
    config: dict[str, Any]
    name: str
    epoch: int


def load_trained(checkpoint: Path | str) -> Trained:
    """Read a checkpoint. Raises InputError if it is damaged or does not fit the model that it names.

    ``bench.evaluate`` with the model, the data and the seed of its configuration gives the numbers
    of its run's record.

    Examples:
        >>> load_trained("nowhere/best.ckpt")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        bench.errors.InputError: checkpoint: nowhere/best.ckpt cannot be read: ...
    """
    content = read_checkpoint(checkpoint)
    config = validate(content["bench"]["config"])
    data, weights = load_task(task_of(config)), weights_of(content)
    try:
        # Built without memory first: a configuration of unknown origin may ask for a model of any size.
        with torch.device("meta"), at_most(len(weights)):
            shapes = build_model(config, data.shape, data.task.levels)
        check_kinds(weights, shapes.state_dict())
        model = build_model(config, data.shape, data.task.levels)
        check_finite(weights, model.state_dict())
        model.load_state_dict(weights)
    except (ArithmeticError, MemoryError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"checkpoint: {checkpoint} is of another model: {reason}") from None
    name = "".join(letter if letter.isprintable() else "?" for letter in content["bench"]["model"])
    return Trained(model, data, config, name, content["epoch"] + 1)


@contextmanager
def at_most(parameters: int) -> Iterator[None]:
    """Raise RuntimeError if a model that is built inside gets far more parameters than this."""
    left = 10 * parameters + 100

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError(f"it would have more parameters than the {parameters} in the file")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def check_kinds(weights: dict[str, Tensor], shapes: dict[str, Tensor]) -> None:
    """Raise RuntimeError unless weights have the names, shapes and types of a model's own."""
    for name in [*shapes, *weights]:
        if name not in weights or name not in shapes:
            where = "the file" if name in shapes else "the model"
            raise RuntimeError(f"{where} has no {name}")
        ours, theirs = shapes[name], weights[name]
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            raise RuntimeError(
                f"{name} is {theirs.dtype} of shape {tuple(theirs.shape)}, and should be "
                f"{ours.dtype} of shape {tuple(ours.shape)}"
            )


def check_finite(weights: dict[str, Tensor], fresh: dict[str, Tensor]) -> None:
    """Raise RuntimeError if weights are not finite that are finite in an untrained model."""
    for name, value in weights.items():
        if fresh[name].isfinite().all() and not value.isfinite().all():
            raise RuntimeError(f"{name} holds numbers that are not finite")
