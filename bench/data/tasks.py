"""Tasks: a dataset with its levels, binarization and splits. Results are compared within a task."""

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.images import Pixels, load_raw
from bench.data.levels import (
    Binarization,
    check_known,
    check_left_out,
    left_out,
    levels_after,
    task_name,
)
from bench.data.own_task import OwnTask, own_splits
from bench.errors import InputError
from bench.noise import derive_seed

Indices = NDArray[np.int64]
Dataset = Literal["digits", "mnist", "fashion_mnist", "cifar10", "mnist_larochelle"]
SHORT_NAMES = {"fashion_mnist": "fashion"}
NATIVE_LEVELS = {
    "digits": 17,
    "mnist": 256,
    "fashion_mnist": 256,
    "cifar10": 256,
    "mnist_larochelle": 2,
}
# (train, validation); the rest of the training file is unused. Digits has one file for all splits.
SPLIT_SIZES = {
    "mnist": (50_000, 10_000),
    "fashion_mnist": (50_000, 10_000),
    "cifar10": (45_000, 5_000),
    "mnist_larochelle": (50_000, 10_000),
}
DIGITS_SPLIT_SIZES = (1_197, 300, 300)
# Part of each task's definition: another seed would define other tasks.
TASK_SEED = 2024


@dataclass(frozen=True)
class Task:
    """The images that are modelled.

    Args:
        dataset: The dataset of the images.
        binarization: none keeps the dataset's own levels (17 for digits, else 256). The others
            give binary images: static by one Bernoulli draw per pixel, the same in every run;
            dynamic by a new draw of the training images in every epoch, with validation and test
            images drawn once; threshold by y > half of the largest value. mnist_larochelle is
            MNIST in the published binary draw of Larochelle & Murray 2011 (The neural
            autoregressive distribution estimator), and takes none.
        leave_out_every: Remove every k-th level, except the darkest and the brightest, from the
            training and validation images: such a pixel moves one level up or down, with equal
            probability. Test images keep all levels. 0 removes none.

    Raises:
        InputError: The dataset or binarization is unknown, or the dataset is binary already; or
            ``leave_out_every`` would remove no level, or leave no neighbouring level.

    Examples:
        >>> Task("mnist", "dynamic").name, Task("mnist").name, Task("mnist").levels
        ('mnist-dynamic', 'mnist-256', 256)
        >>> Task("mnist_larochelle").name, Task("mnist_larochelle").levels
        ('mnist-larochelle', 2)
    """

    dataset: Dataset
    binarization: Binarization = "none"
    leave_out_every: int = 0

    def __post_init__(self) -> None:
        check_known("dataset", self.dataset, Dataset)
        check_known("binarization", self.binarization, Binarization)
        if self.binarization != "none" and NATIVE_LEVELS[self.dataset] == 2:
            raise InputError(
                f"data.binarization: {self.binarization} is not for {self.dataset}, whose images "
                "are binary as published; take none"
            )
        check_left_out(self.leave_out_every, self.binarization, self.levels)

    @property
    def native_levels(self) -> int:
        """Number of values that a pixel takes before binarization."""
        return NATIVE_LEVELS[self.dataset]

    @property
    def levels(self) -> int:
        """Number of values that a pixel takes."""
        return levels_after(self.binarization, self.native_levels)

    @property
    def name(self) -> str:
        """The name under which results are compared: mnist-256, mnist-dynamic, digits-binary, …"""
        if NATIVE_LEVELS[self.dataset] == 2:
            return self.dataset.replace("_", "-")
        images = SHORT_NAMES.get(self.dataset, self.dataset)
        return task_name(images, self.binarization, self.levels, self.leave_out_every)

    @property
    def left_out_levels(self) -> list[int]:
        """The levels that training images do not contain."""
        return left_out(self.leave_out_every, self.levels)


@dataclass(frozen=True)
class ArrayTask:
    """The images that are modelled, if they are the caller's arrays.

    Attributes:
        name: The name under which results are compared.
        levels: Number of values that a pixel takes.
    """

    name: str
    levels: int


@dataclass(frozen=True)
class TaskData:
    """A task's images in memory.

    Attributes:
        task: The task.
        shape: Channels, height and width of an image.
        train: uint8 of shape (n, D) with values below the task's levels.
        validation: The same.
        test: The same.
        intensities: Grey values (n, D) from which a dynamic task redraws its training images;
            None for other tasks.
        payload_sha256: {file name: SHA-256 of its payload}.
        split_sha256: SHA-256 of the splits' indices, or of the images of an `ArrayTask`.
    """

    task: Task | OwnTask | ArrayTask
    shape: tuple[int, int, int]
    train: Tensor
    validation: Tensor
    test: Tensor
    intensities: Tensor | None
    payload_sha256: dict[str, str]
    split_sha256: str

    @cached_property
    def images_sha256(self) -> str:
        """SHA-256 of the images of all splits, and of the intensities if there are any."""
        digest = hashlib.sha256()
        for name in ("train", "validation", "test", "intensities"):
            images: Tensor | None = getattr(self, name)
            if images is not None:
                digest.update(f"{name}:{images.dtype}:{tuple(images.shape)}:".encode())
                digest.update(images.contiguous().numpy().data)
        return digest.hexdigest()

    @property
    def dimensions(self) -> int:
        """D, the number of pixels and channels of an image."""
        return self.train.shape[1]

    def split(self, name: str) -> Tensor:
        """Return the images (n, D) of train, validation or test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def split_indices(dataset: str, n_train_file: int) -> dict[str, Indices]:
    """Return the fixed indices of a dataset's splits (into its train file, or its test file).

    Digits are permuted once, because the file is ordered by writer. The other datasets keep their
    published order, which is already random, so the splits of 50,000 and 10,000 images are those
    of the literature.
    """
    if dataset == "digits":
        keys = np.random.Philox(key=TASK_SEED).random_raw(n_train_file)
        order = np.argsort(keys, kind="stable")
        parts = np.split(order, np.cumsum(DIGITS_SPLIT_SIZES)[:2])
        return dict(zip(("train", "validation", "test"), parts))
    train, validation = SPLIT_SIZES[dataset]
    in_file = np.arange(train + validation)
    return {
        "train": in_file[:train],
        "validation": in_file[train:],
        "test": np.arange(10_000),
    }


def hash_splits(indices: dict[str, Indices]) -> str:
    """Return the SHA-256 of the splits' names, sizes and indices."""
    digest = hashlib.sha256()
    for name in ("train", "validation", "test"):
        digest.update(f"{name}:{len(indices[name])}:".encode())
        digest.update(indices[name].astype("<i8").tobytes())
    return digest.hexdigest()


def draw_static(intensities: Pixels, largest: int, name: str) -> Pixels:
    """Binarize once: y = 1 with probability intensity / largest, by raw Philox bits.

    Raw bits are the same in all NumPy versions; higher-level draws need not be. Each pixel takes 16
    bits, so its probability is exact to 1/65536.
    """
    bits = np.random.Philox(key=derive_seed(TASK_SEED, "binarization", name))
    raw = bits.random_raw(-(-intensities.size // 4)).view(np.uint16)[: intensities.size]
    threshold = np.round(np.arange(largest + 1) * (65536 / largest)).astype(np.uint32)
    return (raw < threshold[intensities.ravel()]).reshape(intensities.shape).astype(np.uint8)


def binarize(images: Pixels, task: Task | OwnTask, name: str) -> Pixels:
    """Return the binary images of a split, by threshold or one Bernoulli draw per pixel."""
    largest = task.native_levels - 1
    if task.binarization == "threshold":
        return (images > largest / 2).astype(np.uint8)
    return draw_static(images, largest, f"{task.dataset}/{name}")


def leave_out(images: Pixels, task: Task | OwnTask, name: str) -> Pixels:
    """Move each pixel at a removed level one level up or down, by raw Philox bits."""
    bits = np.random.Philox(key=derive_seed(TASK_SEED, "left out", f"{task.dataset}/{name}"))
    raw = bits.random_raw(-(-images.size // 8)).view(np.uint8)[: images.size]
    up = raw.reshape(images.shape) % 2 == 1
    neighbour = np.where(up, images + 1, images - 1).astype(np.uint8)
    return np.where(np.isin(images, task.left_out_levels), neighbour, images)


@lru_cache(maxsize=2)
def load_task(task: Task | OwnTask) -> TaskData:
    """Load a task's data. Raises InputError if the files are missing or not those of the task.

    The cache lets successive runs of a worker share the images.

    Examples:
        >>> data = load_task(Task("digits", "threshold"))
        >>> data.task.name, data.task.levels, data.shape, len(data.train), len(data.test)
        ('digits-binary', 2, (1, 8, 8), 1197, 300)
    """
    if isinstance(task, OwnTask):
        images, payloads = own_splits(task), {"pixels": task.pixels_sha256}
        indices = {name: np.arange(len(part)) for name, part in images.items()}
    else:
        raw = load_raw(task.dataset)
        payloads, indices = raw.payloads, split_indices(task.dataset, len(raw.train))
        sources = {"train": raw.train, "validation": raw.train}
        sources["test"] = raw.train if raw.test is None else raw.test
        images = {name: sources[name][index] for name, index in indices.items()}
    splits = {name: part.reshape(len(part), -1) for name, part in images.items()}
    intensities = torch.from_numpy(splits["train"]) if task.binarization == "dynamic" else None
    if task.binarization != "none":
        splits = {name: binarize(images, task, name) for name, images in splits.items()}
    if task.leave_out_every:
        for name in ("train", "validation"):
            splits[name] = leave_out(splits[name], task, name)
    tensors = {name: torch.from_numpy(np.ascontiguousarray(y)) for name, y in splits.items()}
    return TaskData(
        task=task,
        shape=tuple(images["train"].shape[1:]),
        intensities=intensities,
        payload_sha256=payloads,
        split_sha256=hash_splits(indices),
        **tensors,
    )


def task_of(config: dict[str, Any]) -> Task | OwnTask:
    """Return the task of a run's canonical configuration."""
    data = dict(config["data"])
    if "pixels_sha256" in data:
        return OwnTask(data.pop("name"), data.pop("levels"), **data)
    return Task(**data)
