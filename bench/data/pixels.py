"""Checks of arrays of images that somebody else made."""

import warnings
from math import prod
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from bench.data.images import Pixels
from bench.errors import InputError, reason_of
from bench.system.machine import GIB, usable_memory

# Images are stored as uint8.
MOST_LEVELS = 256
# An axis of one of these lengths may be the channel axis: grey or colour.
CHANNELS = (1, 3)


def checked_levels(levels: object, name: str = "levels") -> int:
    """Return L as an int. Raises InputError unless it is a whole number from 2 to 256."""
    whole = int(levels) if isinstance(levels, Integral) and not isinstance(levels, bool) else 0
    if not 2 <= whole <= MOST_LEVELS:
        raise InputError(f"{name}: {levels!r} is not a whole number between 2 and {MOST_LEVELS}")
    return whole


def checked(images: ArrayLike, levels: int, split: str) -> Pixels:
    """Return images as uint8 of shape (n, channels, height, width)."""
    array = as_array(images, split)
    if array.dtype.kind not in "iub":
        raise InputError(
            f"{split}: values of {array.dtype}; the likelihood is one of integers "
            f"0 … {levels - 1}: give those, as an integer array"
        )
    if array.ndim not in (3, 4):
        raise InputError(
            f"{split}: an array of shape {array.shape}; (n, height, width) or "
            "(n, channels, height, width) is needed"
        )
    if len(array) < 2:
        raise InputError(f"{split}: {len(array)} images; at least 2 are needed")
    if array.size == 0:
        raise InputError(f"{split}: an array of shape {array.shape} has no pixels")
    # A view may repeat a few bytes many times, so its copy may be far larger.
    usable = usable_memory() * GIB
    if array.size > usable:
        raise InputError(
            f"{split}: an array of shape {array.shape} takes {array.size / GIB:.3g} GiB as 8-bit "
            f"integers, but {usable / GIB:.3g} GiB of memory are free"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= levels:
        raise InputError(f"{split}: values from {low} to {high} on levels 0 … {levels - 1}")
    four = channels_first(array, split) if array.ndim == 4 else array[:, None]
    return np.ascontiguousarray(four.astype(np.uint8))


def as_array(images: ArrayLike, split: str) -> NDArray[Any]:
    """Return images of any array type as an array. Raises InputError if that is impossible."""
    parts = images if isinstance(images, (list, tuple)) else [images]
    if any(np.ma.is_masked(part) for part in parts):
        raise InputError(f"{split}: some values are masked, but a likelihood needs all of them")
    try:
        return np.asarray(images.detach().cpu() if isinstance(images, torch.Tensor) else images)
    except Exception as error:  # its own __array__ may raise anything
        raise InputError(f"{split}: not an array: {reason_of(error)}") from None


def channels_first(array: NDArray[Any], split: str) -> NDArray[Any]:
    """Return images as (n, channels, height, width); their channels may be the last axis.

    Raises:
        InputError: Both axes may be the channel axis, and the two readings differ.
    """
    first, last = array.shape[1], array.shape[-1]
    # With one channel and one column, both readings give the same pixels in the same order.
    if last not in CHANNELS or first == last == 1:
        return array
    if first in CHANNELS:
        raise InputError(
            f"{split}: images of shape {array.shape[1:]} are ambiguous: {first} channels first or "
            f"{last} last; give (n, height, width) for one channel, else move the channels to the "
            "other end"
        )
    moved = array.transpose(0, 3, 1, 2)
    warnings.warn(
        f"images of shape {array.shape[1:]} are read as (height, width, channels); models get "
        f"(channels, height, width), {moved.shape[1:]}",
        stacklevel=4,
    )
    return moved


def refuse_too_large(shape: tuple[int, ...], where: str, bytes_each: int = 1) -> None:
    """Raise InputError unless images of this shape fit in memory, twice while they are sorted."""
    size, usable = prod(shape) * bytes_each, usable_memory() * GIB
    if 2 * size > usable:
        raise InputError(
            f"{where}: {shape[0]:,} images of {shape[1:]} take {size / GIB:.3g} GiB, and twice that while "
            f"they are read, but {usable / GIB:.3g} GiB of memory are free"
        )
