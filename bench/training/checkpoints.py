"""Checkpoints: on any file system, checked by their hash, read without running code."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import CheckpointIO
from torch.utils._pytree import tree_map_only

from bench.errors import InputError, reason_of
from bench.system.files import regular_file
from bench.training.checkpoint_limits import LONGEST_FILE, check_content, checked_archive

LAST, BEST = "last.ckpt", "best.ckpt"


def content_hash(value: Any) -> str:
    """Return the SHA-256 of nested plain data and tensors, however they were stored."""
    digest = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            part = part.detach().cpu().contiguous()
            digest.update(f"tensor {part.dtype} {tuple(part.shape)}\n".encode())
            digest.update(part.reshape(-1).view(torch.uint8).numpy().data)
        elif isinstance(part, dict):
            digest.update(f"dict {len(part)}\n".encode())
            for name in sorted(part, key=str):
                digest.update(f"{name}\n".encode())
                add(part[name])
        elif isinstance(part, (list, tuple)):
            digest.update(f"list {len(part)}\n".encode())
            for item in part:
                add(item)
        else:
            digest.update(f"{part!r}\n".encode())

    add(value)
    return digest.hexdigest()


def join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


class CheckedCheckpointIO(CheckpointIO):
    """Reads and writes checkpoints for Lightning, atomically and with their hash."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        content = io.BytesIO()
        checkpoint = tree_map_only(torch.Tensor, of_its_own, checkpoint)
        torch.save(checkpoint | {"sha256": content_hash(checkpoint)}, content)
        if content.tell() > LONGEST_FILE:
            raise InputError(
                f"checkpoint: the model's takes {content.tell():,} bytes, and may take {LONGEST_FILE:,}; "
                "give it fewer parameters"
            )
        system, place = fsspec.core.url_to_fs(str(path))
        if "file" not in system.protocol:
            # Object stores show an object only when it is complete.
            system.pipe_file(place, content.getvalue())
            return
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        partial = Path(f"{place}.{os.getpid()}.partial")
        try:
            partial.unlink(missing_ok=True)
            with open(partial, "xb") as file:  # through no link
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            partial.replace(place)
        finally:
            partial.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_checkpoint(path)

    def remove_checkpoint(self, path: Any) -> None:
        remove(str(path))


def of_its_own(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor whose memory is no larger than it is: a file would hold the rest, too.

    The weights of a run that trains in a stack are views of those of all runs.
    """
    is_part = tensor.untyped_storage().nbytes() > tensor.nbytes
    return tensor.clone() if is_part else tensor


def exists(path: Path | str) -> bool:
    system, place = fsspec.core.url_to_fs(str(path))
    return system.isfile(place)


def refuse_folder(path: str) -> None:
    """Raise InputError if the path is a folder."""
    system, place = fsspec.core.url_to_fs(path)
    if system.isdir(place):
        raise InputError(f"checkpoint: {path} is a folder; move it away")


def remove(path: str) -> None:
    system, place = fsspec.core.url_to_fs(path)
    if system.exists(place):
        system.rm(place)


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """Read a checkpoint without running any code that it may hold.

    Raises:
        InputError: It is missing, truncated or altered, or not a checkpoint of this benchmark.
    """
    try:
        with opened(str(path)) as file:
            archive = checked_archive(file)
        checkpoint = torch.load(archive, map_location="cpu", weights_only=True)
        check_content(checkpoint, len(archive.getbuffer()))
        check_form(checkpoint)
        recorded = checkpoint.pop("sha256")
        is_whole = recorded == content_hash(checkpoint)
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"checkpoint: {path} cannot be read: {reason_of(error, 150)}") from None
    if not is_whole:
        raise InputError(f"checkpoint: {path} was altered: its hash does not match its content")
    return checkpoint


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open a file of any file system for reading; remote files are read completely."""
    system, place = fsspec.core.url_to_fs(path)
    if "file" in system.protocol:
        with regular_file(place) as file:
            yield file
    else:
        with system.open(place, "rb") as file:
            yield io.BytesIO(file.read(LONGEST_FILE + 1))


def check_form(checkpoint: Any) -> None:
    """Raise ValueError unless the parts that readers need are present and of the right type."""
    kinds = {
        "state_dict": dict,
        "bench": dict,
        "epoch": int,
        "history": list,
        "sha256": str,
    }
    for name, kind in kinds.items():
        if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(name), kind):
            raise ValueError(f"{name} is missing, or no {kind.__name__}")
    for name, value in checkpoint["state_dict"].items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ValueError(f"state_dict: {name!r} is no tensor with a name")
    made_by = checkpoint["bench"]
    if not isinstance(made_by.get("config"), dict) or not isinstance(made_by.get("model"), str):
        raise ValueError("bench: no config, or no name of a model")
    json.dumps([made_by, checkpoint["history"]])  # a TypeError names what is no plain data


# What evaluation and the training curve need; two thirds of a checkpoint are the optimizer's state.
RELEASED = ("state_dict", "bench", "epoch", "history")


def release(source: Path, target: Path) -> None:
    """Write ``source`` without what only training needs.

    Raises:
        InputError: The source is not a complete checkpoint, or the target exists.
    """
    checkpoint = read_checkpoint(source)
    if target.is_dir():
        raise InputError(
            f"release: {target} is a folder; name the file to write, {target}/NAME.ckpt"
        )
    if target.exists():
        raise InputError(f"release: {target} is there already; remove it first")
    CheckedCheckpointIO().save_checkpoint({name: checkpoint[name] for name in RELEASED}, target)


def weights_of(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the model's weights of a checkpoint, under the model's own names."""
    prefix = "model."
    return {
        name.removeprefix(prefix): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith(prefix)
    }


def can_resume(folder: str, description: dict[str, Any]) -> tuple[bool, str]:
    """Tell whether both checkpoints are complete, and of this configuration, device and training code.

    Returns:
        Whether they are, and a line for the user if one exists that cannot be used.

    Raises:
        InputError: One of them is a folder, which cannot be replaced.
    """
    for name in (LAST, BEST):
        refuse_folder(join(folder, name))
    for name in (LAST, BEST):
        path = join(folder, name)
        if not exists(path):
            return False, ""
        try:
            checkpoint = read_checkpoint(path)
        except InputError as error:
            return False, f"{error}; trained from the start"
        if difference := difference_of(checkpoint["bench"], description):
            return False, f"{name} is of {difference}; trained from the start"
    return True, ""


def difference_of(found: dict[str, Any], description: dict[str, Any]) -> str:
    """Return in words what a checkpoint is of that a description is not; empty if they are the same."""
    if found == description:
        return ""
    if found | {"device": description.get("device")} != description:
        return "other code or another configuration"
    return f"another device ({found.get('device')}, not {description['device']})"


class MovableCheckpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint, which also finds its best checkpoint in a folder that was moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = lambda path: join(str(self.dirpath), path.rpartition("/")[2]) if path else path
        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: here(state_dict[name]) for name in paths} | {"dirpath": self.dirpath}
        moved["best_k_models"] = {
            here(p): score for p, score in state_dict["best_k_models"].items()
        }
        super().load_state_dict(state_dict | moved)
