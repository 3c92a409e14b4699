"""A task made of one's own images."""

import hashlib

import numpy as np
import torch
from numpy.typing import ArrayLike

from bench.data.tasks import ArrayTask, TaskData
from bench.errors import InputError

# Images are kept as uint8.
MOST_LEVELS = 256
# The Laplacian, whose variance is the sharpness, is this many pixels wide and high.
SMALLEST_SIDE = 3


def task_from_arrays(
    train: ArrayLike,
    test: ArrayLike,
    levels: int,
    validation: ArrayLike | None = None,
    name: str = "arrays",
) -> TaskData:
    """Return the data of a task whose splits are these images.

    Args:
        train: Integers in {0, …, levels − 1}, an array or tensor of shape (n, height, width) or
            (n, channels, height, width). Its encodings are the aggregated posterior that is
            swapped in as a prior, and units of outputs may be taken from it.
        test: The images that count, of the same shape.
        levels: Number L of values that a pixel takes: 2 for binary images, 256 for 8 bits.
        validation: Images of the same shape; none if not given. No evaluation looks at them.
        name: The task's name.

    Raises:
        InputError: Images that are no integers, outside the levels, of other shapes, or fewer
            than two in a split.

    Examples:
        >>> import numpy as np
        >>> images = np.arange(5 * 4 * 4).reshape(5, 4, 4) % 7
        >>> data = task_from_arrays(images[:3], images[3:], levels=7)
        >>> data.shape, tuple(data.train.shape), data.dimensions
        ((1, 4, 4), (3, 16), 16)
        >>> task_from_arrays(images[:3] / 6, images[3:] / 6, levels=7)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        bench.errors.InputError: train: values of float64; ...
    """
    if not 2 <= levels <= MOST_LEVELS:
        raise InputError(f"levels: {levels} is not between 2 and {MOST_LEVELS}")
    splits = {"train": checked(train, levels, "train"), "test": checked(test, levels, "test")}
    shape = splits["train"].shape[1:]
    none = np.empty((0, *shape), np.uint8)
    splits["validation"] = none if validation is None else checked(validation, levels, "validation")
    for split, images in splits.items():
        if images.shape[1:] != shape:
            raise InputError(
                f"{split}: images of shape {images.shape[1:]}, and of {shape} in train"
            )
    hashes = {
        split: hashlib.sha256(images.tobytes()).hexdigest() for split, images in splits.items()
    }
    flat = {
        split: torch.from_numpy(images.reshape(len(images), int(np.prod(shape))))
        for split, images in splits.items()
    }
    return TaskData(
        task=ArrayTask(name, levels),
        shape=(shape[0], shape[1], shape[2]),
        train=flat["train"],
        validation=flat["validation"],
        test=flat["test"],
        intensities=None,
        payload_sha256=hashes,
        split_sha256=hashlib.sha256("".join(hashes.values()).encode()).hexdigest(),
    )


def checked(images: ArrayLike, levels: int, split: str) -> np.ndarray:
    """Return images as uint8 of shape (n, channels, height, width)."""
    given = images.detach().cpu() if isinstance(images, torch.Tensor) else images
    array = np.asarray(given)
    if array.dtype.kind not in "iub":
        raise InputError(
            f"{split}: values of {array.dtype}; a likelihood of integers 0 … {levels - 1} is "
            "measured: give those, as an integer array"
        )
    if array.ndim not in (3, 4):
        raise InputError(
            f"{split}: an array of shape {array.shape}; (n, height, width) or "
            "(n, channels, height, width) is needed"
        )
    if len(array) < 2:
        raise InputError(f"{split}: {len(array)} images; at least 2 are needed")
    if min(array.shape[-2:]) < SMALLEST_SIDE:
        raise InputError(
            f"{split}: images of {array.shape[-2]} × {array.shape[-1]} pixels; "
            f"at least {SMALLEST_SIDE} × {SMALLEST_SIDE} are needed"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= levels:
        raise InputError(f"{split}: values from {low} to {high} on levels 0 … {levels - 1}")
    four = array if array.ndim == 4 else array[:, None]
    return np.ascontiguousarray(four.astype(np.uint8))
