"""Tasks: a dataset, its levels, its binarization and its splits. Results compare inside a task."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from bench.data.images import load_raw
from bench.errors import InputError
from bench.noise import derive_seed

Dataset = Literal["digits", "mnist", "fashion_mnist", "cifar10"]
Binarization = Literal["none", "static", "dynamic", "threshold"]
SHORT_NAMES = {"fashion_mnist": "fashion"}
NATIVE_LEVELS = {"digits": 17, "mnist": 256, "fashion_mnist": 256, "cifar10": 256}
# (train, validation); the rest of the training file is not used. Digits has one file only.
SPLIT_SIZES = {
    "mnist": (50_000, 10_000),
    "fashion_mnist": (50_000, 10_000),
    "cifar10": (45_000, 5_000),
}
DIGITS_SPLIT_SIZES = (1_197, 300, 300)
# Part of each task's definition: changing it would make new tasks.
TASK_SEED = 2024


@dataclass(frozen=True)
class Task:
    """What is modelled.

    Args:
        dataset: Where the images come from.
        binarization: none keeps the dataset's own levels (17 for digits, else 256). The others
            make binary images: static by one Bernoulli draw per pixel, the same in every run;
            dynamic by a new draw of the training images in every epoch, with validation and test
            drawn once; threshold by y > half of the largest value.
        leave_out_every: Keep every k-th level out of the training and validation images, but for
            the darkest and the brightest: such a pixel goes one level up or down, by a fair coin.
            Test images keep all levels. 0 leaves out none.

    Raises:
        InputError: A dataset or binarization that there is not, or ``leave_out_every`` leaves out
            none of the task's levels, or all between.

    Examples:
        >>> Task("mnist", "dynamic").name, Task("mnist").name, Task("mnist").levels
        ('mnist-dynamic', 'mnist-256', 256)
    """

    dataset: Dataset
    binarization: Binarization = "none"
    leave_out_every: int = 0

    def __post_init__(self) -> None:
        for name, known in (("dataset", Dataset), ("binarization", Binarization)):
            if getattr(self, name) not in get_args(known):
                raise InputError(
                    f"data.{name}: {getattr(self, name)!r} is unknown; known are "
                    f"{', '.join(get_args(known))}"
                )
        every = self.leave_out_every
        if not isinstance(every, int):
            raise InputError(f"data.leave_out_every: {every!r} is no whole number")
        if every == 0:
            return
        if self.binarization != "none" or not 2 <= every < self.levels - 1:
            raise InputError(
                f"data.leave_out_every: {every} leaves no level out of {self.levels}, "
                f"or none to take its place; take 2 to {max(self.levels - 2, 2)} on a task with "
                "grey levels, or 0"
            )

    @property
    def levels(self) -> int:
        """Number of values that a pixel takes."""
        return NATIVE_LEVELS[self.dataset] if self.binarization == "none" else 2

    @property
    def name(self) -> str:
        """The name under which results are compared: mnist-256, mnist-dynamic, digits-binary, …"""
        kind = {"none": str(self.levels), "threshold": "binary"}.get(
            self.binarization, self.binarization
        )
        name = f"{SHORT_NAMES.get(self.dataset, self.dataset)}-{kind}"
        return f"{name}-without-every-{self.leave_out_every}" if self.leave_out_every else name

    @property
    def left_out_levels(self) -> list[int]:
        """The levels that no training image shows."""
        every = self.leave_out_every
        return list(range(every, self.levels - 1, every)) if every else []


@dataclass(frozen=True)
class ArrayTask:
    """What is modelled, where the images come from arrays of the caller.

    Attributes:
        name: The name under which results are compared.
        levels: Number of values that a pixel takes.
    """

    name: str
    levels: int


@dataclass(frozen=True)
class TaskData:
    """A task's images in memory.

    ``train``, ``validation`` and ``test`` are uint8 of shape (n, D) with values below ``levels``;
    ``intensities`` are the grey values (n, D) that a dynamic task redraws its training images
    from, with their largest value, else None.
    """

    task: Task | ArrayTask
    shape: tuple[int, int, int]
    train: Tensor
    validation: Tensor
    test: Tensor
    intensities: Tensor | None
    payload_sha256: dict[str, str]
    split_sha256: str

    @property
    def dimensions(self) -> int:
        return self.train.shape[1]

    def split(self, name: str) -> Tensor:
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def split_indices(dataset: str, n_train_file: int) -> dict[str, np.ndarray]:
    """Return the fixed index lists of a dataset's splits (into its train file, or its test file).

    Digits are permuted once, because its file is ordered by writer; the others keep the order in
    which they were published, which is already random, so that 50,000 / 10,000 means what it
    means in the literature.
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


def hash_splits(indices: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in ("train", "validation", "test"):
        digest.update(f"{name}:{len(indices[name])}:".encode())
        digest.update(indices[name].astype("<i8").tobytes())
    return digest.hexdigest()


def draw_static(intensities: np.ndarray, largest: int, name: str) -> np.ndarray:
    """Binarize once: y = 1 with probability intensity / largest, from raw Philox bits.

    Raw bits are stable across NumPy versions, which the higher-level draws do not promise.
    Sixteen bits per pixel: the probability is met to 1/65536.
    """
    bits = np.random.Philox(key=derive_seed(TASK_SEED, "binarization", name))
    raw = bits.random_raw(-(-intensities.size // 4)).view(np.uint16)[: intensities.size]
    threshold = np.round(np.arange(largest + 1) * (65536 / largest)).astype(np.uint32)
    return (raw < threshold[intensities.ravel()]).reshape(intensities.shape).astype(np.uint8)


def binarize(images: np.ndarray, task: Task, name: str) -> np.ndarray:
    largest = NATIVE_LEVELS[task.dataset] - 1
    if task.binarization == "threshold":
        return (images > largest / 2).astype(np.uint8)
    return draw_static(images, largest, f"{task.dataset}/{name}")


def leave_out(images: np.ndarray, task: Task, name: str) -> np.ndarray:
    """Move every pixel at a left-out level one level up or down, by raw Philox bits."""
    bits = np.random.Philox(key=derive_seed(TASK_SEED, "left out", f"{task.dataset}/{name}"))
    raw = bits.random_raw(-(-images.size // 8)).view(np.uint8)[: images.size]
    up = raw.reshape(images.shape) % 2 == 1
    neighbour = np.where(up, images + 1, images - 1).astype(np.uint8)
    return np.where(np.isin(images, task.left_out_levels), neighbour, images)


@lru_cache(maxsize=2)
def load_task(task: Task) -> TaskData:
    """Load a task's data. Raises InputError where the data is missing or is not the published one.

    The cache lets the runs that one worker does after another share the images.

    Examples:
        >>> data = load_task(Task("digits", "threshold"))
        >>> data.task.name, data.task.levels, data.shape, len(data.train), len(data.test)
        ('digits-binary', 2, (1, 8, 8), 1197, 300)
    """
    raw = load_raw(task.dataset)
    indices = split_indices(task.dataset, len(raw.train))
    sources = {"train": raw.train, "validation": raw.train}
    sources["test"] = raw.train if raw.test is None else raw.test
    splits = {name: sources[name][index].reshape(len(index), -1) for name, index in indices.items()}
    intensities = torch.from_numpy(splits["train"]) if task.binarization == "dynamic" else None
    if task.binarization != "none":
        splits = {name: binarize(images, task, name) for name, images in splits.items()}
    if task.leave_out_every:
        for name in ("train", "validation"):
            splits[name] = leave_out(splits[name], task, name)
    tensors = {name: torch.from_numpy(np.ascontiguousarray(y)) for name, y in splits.items()}
    return TaskData(
        task=task,
        shape=tuple(raw.train.shape[1:]),
        intensities=intensities,
        payload_sha256=raw.payloads,
        split_sha256=hash_splits(indices),
        **tensors,
    )


def task_of(config: dict[str, Any]) -> Task:
    return Task(**config["data"])
