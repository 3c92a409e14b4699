"""In-memory batches for Lightning: a batch is an indexed tensor, never a list of items."""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from bench.configuration.files import named_task
from bench.data.own_task import OwnTask
from bench.data.tasks import Task, TaskData, load_task
from bench.errors import InputError
from bench.noise import EVALUATION_BLOCK, Noise

LARGEST_WORD = 2**15 - 1


class Batch(NamedTuple):
    """A mini-batch.

    Attributes:
        images: uint8 (batch, D).
        indices: Which data of the training split they are, (batch,); None if that is not known.
    """

    images: Tensor
    indices: Tensor | None = None


class Group(NamedTuple):
    """Several mini-batches, whose images are drawn one mini-batch at a time.

    Attributes:
        indices: Which data of the training split they are, (batches, batch).
        draw: Returns images, uint8 (batch, D), for indices (batch,).
        noise: What ``draw`` takes its random numbers from.
    """

    indices: Tensor
    draw: Callable[[Tensor], Tensor]
    noise: Noise

    def batches(self) -> Iterator[Batch]:
        """Yield the mini-batches, each made when it is asked for, so that it is in the cache."""
        return (Batch(self.draw(index), index) for index in self.indices)

    def part(self, chosen: slice) -> "Group":
        """Return a group of some of the mini-batches."""
        return self._replace(indices=self.indices[chosen])


class Place(NamedTuple):
    """The device of batches, and which share of them a rank has."""

    device: torch.device | str = "cpu"
    rank: int = 0
    world: int = 1


class TrainingBatches:
    """Shuffled mini-batches of the training split; a rank gets its own rows of each.

    The order is a function of (seed, epoch) alone. The last, incomplete batch of an epoch is
    dropped, so that every step has the same number of data; which data are dropped changes with the
    order. Dynamic binarization draws each batch from its grey values, on the device.
    """

    def __init__(
        self,
        data: TaskData,
        batch_size: int,
        seed: int,
        epoch: Callable[[], int],
        place: Place = Place(),
    ):
        device, world = place.device, place.world
        if batch_size < 1:
            raise InputError(f"trainer.batch_size: {batch_size} is less than 1")
        if batch_size % world:
            raise InputError(
                f"trainer.batch_size: {batch_size} cannot be shared out evenly over {world} devices"
            )
        self.dynamic = data.intensities is not None
        self.images = (data.train if data.intensities is None else data.intensities).to(device)
        if batch_size > len(self.images):
            raise InputError(
                f"trainer.batch_size: {batch_size} is more than the {len(self.images)} training data"
            )
        self.task, self.batch_size, self.seed, self.epoch = data.task, batch_size, seed, epoch
        self.device, self.rank, self.world = place

    @cached_property
    def thresholds(self) -> Tensor:
        """Thresholds, int16 (n, D): a random 16-bit word below one gives a 1, with probability grey / largest."""
        assert isinstance(self.task, (Task, OwnTask))  # only tasks are binarized dynamically
        largest = self.task.native_levels - 1
        grey = torch.arange(largest + 1, device=self.images.device)
        word = (grey * (2**16 / largest)).round() - 2**15
        table = word.clamp(max=LARGEST_WORD).to(torch.int16)
        return torch.cat([table[block.long()] for block in self.images.split(1000)])

    def __len__(self) -> int:
        return len(self.images) // self.batch_size

    def noise(self) -> Noise:
        """Return the noise of this epoch's binarization."""
        return Noise(
            *self.noise_key(), device=self.device, on_device=True, rank=self.rank, world=self.world
        )

    def noise_key(self) -> tuple[int, str, int]:
        return self.seed, "binarization", self.epoch()

    def indices(self) -> Tensor:
        """Return the indices of this epoch's mini-batches, (steps, batch) of a rank."""
        noise = Noise(self.seed, "order", self.epoch(), device=self.device)
        order = noise.shared_permutation(len(self.images))[: len(self) * self.batch_size]
        own = self.batch_size // self.world
        return order.view(len(self), self.batch_size).narrow(1, self.rank * own, own)

    def draw(self, index: Tensor, noise: Noise) -> Tensor:
        """Return images, uint8 (batch, D), for indices (batch,) of the training split."""
        if not self.dynamic:
            return self.images.index_select(0, index)
        threshold = self.thresholds.index_select(0, index)
        y = torch.empty(threshold.shape, dtype=torch.uint8, device=threshold.device)
        # No word is the largest, so that the largest grey value always gives a 1.
        words = noise.words(*y.shape).clamp_(max=LARGEST_WORD - 1)
        return torch.lt(words, threshold, out=y)

    def __iter__(self) -> Iterator[Batch]:
        noise = self.noise()
        for index in self.indices():
            yield Batch(self.draw(index, noise), index)


class Grouped:
    """The batches of a loader in groups of ``at_once``."""

    def __init__(self, loader: TrainingBatches, at_once: int):
        self.loader, self.at_once, self.noise = loader, at_once, loader.noise()

    def __len__(self) -> int:
        return -(-len(self.loader) // self.at_once)

    def __iter__(self) -> Iterator[Group]:
        # The same object in every epoch, because captured graphs draw from it.
        self.noise.restart(*self.loader.noise_key())
        draw = partial(self.loader.draw, noise=self.noise)
        for indices in self.loader.indices().split(self.at_once):
            yield Group(indices, draw, self.noise)


class EvaluationBlocks:
    """Blocks of consecutive images of a split; rank r holds every world-th block.

    All ranks have the same number of rounds, because Lightning's ranks wait for each other: a rank
    without a block in a round gets an empty one.
    """

    def __init__(self, images: Tensor, place: Place = Place()):
        device, rank, world = place
        self.blocks = images.to(device).split(EVALUATION_BLOCK)
        self.empty = images[:0].to(device)
        rounds = -(-len(self.blocks) // world)
        self.own = range(rank, rounds * world, world)

    def __len__(self) -> int:
        return len(self.own)

    def __iter__(self) -> Iterator[Batch]:
        for number in self.own:
            yield Batch(self.blocks[number] if number < len(self.blocks) else self.empty)


class TaskDataModule(pl.LightningDataModule):
    """A task's batches on the trainer's device, sharded by rank.

    Dynamically binarized images are drawn anew in every epoch. Validation, test and prediction
    have blocks of 100 images, to which the benchmark's evaluation noise belongs.

    Args:
        task: The name of a file of configs/data/, a task, or a task's images.
        batch_size: Number of data in one optimizer step, over all devices.
        seed: The order of the data and their binarization derive from it.
        batches_at_once: Mini-batches that are handed to one training step, as ``ManySteps`` wants
            them; 0 hands each to a step of its own.

    Raises:
        InputError: A task that is not known, or a batch larger than the training split.

    Examples:
        >>> data = TaskDataModule("digits-binary")
        >>> data.shape, data.levels
        ((1, 8, 8), 2)
    """

    def __init__(
        self,
        task: str | Task | OwnTask | TaskData,
        batch_size: int = 100,
        seed: int = 1,
        batches_at_once: int = 0,
    ):
        super().__init__()
        self.task = named_task(task) if isinstance(task, str) else task
        self.batch_size, self.seed, self.batches_at_once = batch_size, seed, batches_at_once

    @cached_property
    def data(self) -> TaskData:
        """The task's images, which are downloaded if they have to be."""
        return self.task if isinstance(self.task, TaskData) else load_task(self.task)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.data.shape

    @property
    def levels(self) -> int:
        """Number of values that a pixel takes."""
        return self.data.task.levels

    def prepare_data(self) -> None:
        assert self.data

    def _place(self) -> Place:
        if self.trainer is None:
            return Place()
        trainer = self.trainer
        return Place(trainer.strategy.root_device, trainer.global_rank, trainer.world_size)

    def train_dataloader(self) -> TrainingBatches | Grouped:
        epoch = lambda: self.trainer.current_epoch if self.trainer else 0
        batches = TrainingBatches(self.data, self.batch_size, self.seed, epoch, self._place())
        return Grouped(batches, self.batches_at_once) if self.batches_at_once else batches

    def val_dataloader(self) -> EvaluationBlocks:
        return EvaluationBlocks(self.data.validation, self._place())

    def test_dataloader(self) -> EvaluationBlocks:
        return EvaluationBlocks(self.data.test, self._place())

    def predict_dataloader(self) -> EvaluationBlocks:
        return self.test_dataloader()
