"""A task made from the caller's own images."""

import hashlib

import numpy as np
import torch
from numpy.typing import ArrayLike

from bench.data.images import Pixels
from bench.data.pixels import checked, checked_levels
from bench.data.tasks import ArrayTask, TaskData
from bench.errors import InputError


def task_from_arrays(
    train: ArrayLike,
    test: ArrayLike,
    levels: int,
    validation: ArrayLike | None = None,
    name: str = "arrays",
) -> TaskData:
    """Return the data of a task with these images as splits.

    Args:
        train: Integers in {0, …, levels − 1}, an array or tensor of shape (n, height, width) or
            (n, channels, height, width). If the length of the last axis is 1 or 3 and that of the
            second is not, the shape is read as (n, height, width, channels), with a warning;
            models still get (channels, height, width). Evaluation uses these images for the
            aggregated posterior, as a replacement of the prior, and likelihoods may standardize
            outputs by their moments.
        test: The images to evaluate on, of the same shape.
        levels: Number L of values that a pixel takes: 2 for binary images, 256 for 8 bits.
        validation: Images of the same shape, or None. No evaluation uses them.
        name: The task's name.

    Raises:
        InputError: ``levels`` is not a whole number from 2 to 256; or images are not integers,
            masked, outside the levels, of different shapes, of a shape whose channel axis is
            ambiguous, fewer than two in a split, or larger than the free memory.

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
    levels = checked_levels(levels)
    splits = {"train": checked(train, levels, "train"), "test": checked(test, levels, "test")}
    shape = splits["train"].shape[1:]
    none = np.empty((0, *shape), np.uint8)
    splits["validation"] = none if validation is None else checked(validation, levels, "validation")
    for split, images in splits.items():
        if images.shape[1:] != shape:
            raise InputError(
                f"{split}: images of shape {images.shape[1:]}, but of {shape} in train"
            )
    return data_of(splits, ArrayTask(name, levels))


def data_of(splits: dict[str, Pixels], task: ArrayTask) -> TaskData:
    """Return the task's data from images (n, channels, height, width) of equal shapes."""
    _, channels, height, width = splits["train"].shape
    hashes = {split: hashlib.sha256(images.data).hexdigest() for split, images in splits.items()}
    flat = {
        split: torch.from_numpy(images.reshape(len(images), channels * height * width))
        for split, images in splits.items()
    }
    return TaskData(
        task=task,
        shape=(channels, height, width),
        train=flat["train"],
        validation=flat["validation"],
        test=flat["test"],
        intensities=None,
        payload_sha256=hashes,
        split_sha256=hashlib.sha256("".join(hashes.values()).encode()).hexdigest(),
    )
