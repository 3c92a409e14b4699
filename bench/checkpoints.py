"""Checkpoints: read without running code, and gone on from only where that changes no number."""

from pathlib import Path

import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from bench.errors import InputError

LAST, BEST = "last.ckpt", "best.ckpt"


def read_checkpoint(path: Path, strict: bool = True) -> dict | None:
    """Read a checkpoint without running any code that it may hold.

    Raises:
        InputError: It is missing, truncated, or no checkpoint of this benchmark. With
            ``strict=False`` None is returned instead.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint["state_dict"], checkpoint["bench"]["config"]
        return checkpoint
    except Exception as error:  # a damaged pickle can raise anything
        if not strict:
            return None
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise InputError(f"checkpoint: {path} cannot be read: {reason}") from None


def can_go_on(path: Path, description: dict) -> bool:
    """Tell whether a checkpoint is whole, and of this configuration and this very code."""
    checkpoint = read_checkpoint(path, strict=False) if path.is_file() else None
    return checkpoint is not None and checkpoint["bench"] == description


class MovableCheckpoint(ModelCheckpoint):
    """Lightning's checkpoints, which forget the best one when their folder has another name."""

    def load_state_dict(self, state_dict: dict) -> None:
        here = lambda path: str(Path(self.dirpath) / Path(path).name) if path else path
        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: here(state_dict[name]) for name in paths} | {"dirpath": self.dirpath}
        moved["best_k_models"] = {
            here(p): score for p, score in state_dict["best_k_models"].items()
        }
        super().load_state_dict(state_dict | moved)
