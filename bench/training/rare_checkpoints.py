"""Checkpoints of a training, written every half minute at most: files cost more than an epoch may."""

import copy
from math import inf
from time import monotonic
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from bench.training.checkpoints import LAST, CheckedCheckpointIO

# A training that is killed repeats at most this much of its work, and one validated epoch.
SECONDS = 30.0


class RareCheckpointIO(CheckpointIO):
    """Keeps the newest checkpoint of each name in memory, and writes them now and then.

    After a kill a training goes on from the last epoch on disk, where it knows the best epoch before
    that one. So the best epoch on disk must not be older than the one that is known there: what is
    kept of it is written before the last epoch is. It may be newer, because the training comes to the
    same epoch again and writes it again. ``fit`` calls ``finish`` when a training has ended.
    """

    def __init__(self) -> None:
        self.files = CheckedCheckpointIO()
        self.kept: dict[str, dict[str, Any]] = {}
        self.written = -inf

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Keep a checkpoint; write it and all others where the last time is half a minute ago.

        The checkpoint of the last epoch comes after that of the best, whose state it holds.
        """
        self.kept[str(path)] = copied(checkpoint)
        if monotonic() - self.written < SECONDS:
            return
        if str(path).endswith(LAST):
            self.finish()
            self.written = monotonic()
        else:
            self._write(str(path))

    def finish(self) -> None:
        """Write what is kept, the last epoch at the end."""
        for path in sorted(self.kept, key=lambda path: path.endswith(LAST)):
            self._write(path)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return self.files.load_checkpoint(path, map_location, weights_only)

    def remove_checkpoint(self, path: Any) -> None:
        self.kept.pop(str(path), None)
        self.files.remove_checkpoint(path)

    def _write(self, path: str) -> None:
        self.files.save_checkpoint(self.kept[path], path)
        del self.kept[path]


def copied(part: Any) -> Any:
    """Return nested plain data with its tensors copied to the CPU: the training goes on with its own."""
    if isinstance(part, torch.Tensor):
        return part.detach().to("cpu", copy=True)
    if isinstance(part, dict):
        # A module's state is a dict with an attribute.
        own = copy.copy(part)
        own.update({name: copied(value) for name, value in part.items()})
        return own
    if isinstance(part, (list, tuple)):
        return type(part)(map(copied, part))
    return part
