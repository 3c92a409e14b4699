"""A trained model, read back from its checkpoint with the data that it was trained on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.checkpoints import read_checkpoint, weights_of
from bench.config import task_of
from bench.data.tasks import TaskData, load_task
from bench.errors import InputError
from bench.models.terms import Model
from bench.parsing import build_model, validate


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
    """Read a checkpoint. Raises InputError if it is damaged, or of another model than it says.

    ``bench.evaluate`` with the model, the data and the seed of its configuration gives the numbers
    of its run's record.

    Examples:
        >>> load_trained("nowhere/best.ckpt")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        bench.errors.InputError: checkpoint: nowhere/best.ckpt cannot be read: ...
    """
    held = read_checkpoint(checkpoint)
    config = validate(held["bench"]["config"])
    data = load_task(task_of(config))
    model = build_model(config, data.shape, data.task.levels)
    try:
        model.load_state_dict(weights_of(held))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"checkpoint: {checkpoint} is of another model: {reason}") from None
    return Trained(model, data, config, held["bench"]["model"], held["epoch"] + 1)
