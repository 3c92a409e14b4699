"""The weights of somebody's model: found, hashed, and read from a checkpoint."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.data.files import sha256
from bench.errors import InputError, reason_of
from bench.networks.mlp import Shape
from bench.scoring.source import Source, parameters_of, users_code, where

# How deep attributes of attributes are searched.
DEEPEST = 5


def parts_of(model: object, path: str = "", depth: int = DEEPEST) -> Iterator[tuple[str, Any]]:
    """Yield (path, part) of the modules and loose tensors of an object, outermost modules alone."""
    if isinstance(model, (nn.Module, Tensor)):
        yield path, model
    elif isinstance(model, Mapping):
        inside = {str(name): part for name, part in model.items()}
        for name, part in sorted(inside.items()) if depth else ():
            yield from parts_of(part, f"{path}.{name}", depth - 1)
    elif isinstance(model, (list, tuple)):
        for number, part in enumerate(model) if depth else ():
            yield from parts_of(part, f"{path}.{number}", depth - 1)
    elif depth and hasattr(model, "__dict__"):
        yield from parts_of(vars(model), path, depth - 1)
        owner = getattr(model, "__self__", None)  # of a bound method
        if owner is not None:
            yield from parts_of(owner, f"{path}.self", depth - 1)


def modules_of(model: object) -> list[nn.Module]:
    """Return the outermost modules of an object."""
    return [part for _, part in parts_of(model) if isinstance(part, nn.Module)]


def weights_hash(model: object) -> str:
    """Return the SHA-256 of all tensors of an object: names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for path, part in parts_of(model):
        tensors = part.state_dict() if isinstance(part, nn.Module) else {"": part}
        for name, value in sorted(tensors.items()):
            if isinstance(value, Tensor):
                digest.update(f"{path}.{name}:{value.dtype}:{tuple(value.shape)}:".encode())
                flat = value.detach().cpu().contiguous().reshape(-1)
                digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def number_of_parameters(model: object) -> int:
    """Return the number of trainable numbers in the modules of an object."""
    found = {p for module in modules_of(model) for p in module.parameters() if p.requires_grad}
    return sum(parameter.numel() for parameter in found)


def read_content(path: Path) -> tuple[dict[str, Any], str]:
    """Return what a checkpoint holds, and the file's SHA-256; nothing in it is run.

    Raises:
        InputError: It cannot be read, or holds more than tensors and plain data.
    """
    try:
        digest = sha256(path.read_bytes())
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"checkpoint: {path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged file raises anything
        reason = reason_of(error)
        raise InputError(
            f"checkpoint: {path} is not of tensors and plain data: {reason}; save a state_dict, or "
            "leave other objects out of save_hyperparameters(ignore=[…])"
        ) from None
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise InputError(f"checkpoint: {path} holds a {type(content).__name__}, not a state_dict")
    return dict(content), digest


def with_arguments(source: Source, content: dict[str, Any]) -> Source:
    """Return the source with the arguments that Lightning saved in a checkpoint."""
    saved = content.get("hyper_parameters")
    if not isinstance(saved, Mapping) or not source.is_called:
        return source
    name, known = content.get("hparams_name"), parameters_of(source.make)
    if isinstance(name, str) and name in known:
        saved = {name: saved}  # a single object's, as Lightning reads it
    kept = {str(key): value for key, value in saved.items() if key in known}
    return replace(source, arguments=kept)


def load_weights(source: Source, model: object, content: dict[str, Any], path: Path) -> None:
    """Put the weights of a checkpoint into a model.

    Raises:
        InputError: The model is no module, or they are another model's.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"checkpoint: {source.label} gives a {type(model).__name__}, no module")
    names = ("state_dict", "model_state_dict")
    weights = next((content[name] for name in names if name in content), content)
    try:
        model.load_state_dict(weights)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"checkpoint: {path} is of another model than {source.label}: {reason}"
        ) from None


def load_lightning(source: Source, path: Path, shape: Shape, levels: int) -> Any:
    """Return a LightningModule by its own ``load_from_checkpoint``.

    Raises:
        InputError: The checkpoint is another model's.
    """
    with users_code(source.label, source.folder):
        try:
            return source.make.load_from_checkpoint(
                path, map_location="cpu", weights_only=True, **source.of_task(shape, levels)
            )
        except RuntimeError as error:
            raise InputError(
                f"checkpoint: {path} is of another model than {source.label}: "
                f"{where(error, source.folder)}"[:400]
            ) from None
