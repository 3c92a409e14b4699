"""In-memory batches for Lightning: a batch is a slice of a tensor, never a list of items."""

from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice

import pytorch_lightning as pl
import torch
from torch import Tensor

from bench.data.tasks import NATIVE_LEVELS, TaskData
from bench.errors import InputError
from bench.noise import EVALUATION_BLOCK, Noise

# Mini-batches handed to the training loop together.
BATCHES_AT_ONCE = 50
LARGEST_WORD = 2**15 - 1


class TrainingBatches:
    """Shuffled mini-batches (y, index) of the training split, many at once as (number, iterator).

    Rank r has its rows of each.

    The order is a function of (seed, epoch) alone. The last, incomplete batch of an epoch is
    dropped, so that every step sees the same number of data; which data that is changes with the
    order. Dynamic binarization draws each batch anew from its grey values, on the device.
    """

    def __init__(
        self,
        data: TaskData,
        batch_size: int,
        seed: int,
        epoch: Callable[[], int],
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
    ):
        if batch_size % world:
            raise InputError(
                f"trainer.batch_size: {batch_size} cannot be shared out evenly over {world} devices"
            )
        self.dynamic = data.intensities is not None
        self.images = (data.intensities if self.dynamic else data.train).to(device)
        if batch_size > len(self.images):
            raise InputError(
                f"trainer.batch_size: {batch_size} is more than the {len(self.images)} training data"
            )
        self.largest = NATIVE_LEVELS[data.task.dataset] - 1
        self.batch_size, self.seed, self.epoch = batch_size, seed, epoch
        self.device, self.rank, self.world = device, rank, world
        # Gradients are summed over ranks once for each training step of Lightning's.
        self.at_once = BATCHES_AT_ONCE if world == 1 else 1

    @cached_property
    def thresholds(self) -> Tensor:
        """What a 16-bit word must be below for a one, int16 (n, D): grey / largest to 2⁻¹⁷."""
        grey = torch.arange(self.largest + 1, device=self.images.device)
        word = (grey * (2**16 / self.largest)).round() - 2**15
        table = word.clamp(max=LARGEST_WORD).to(torch.int16)
        return torch.cat([table[block.long()] for block in self.images.split(1000)])

    @property
    def steps(self) -> int:
        """Number of mini-batches in an epoch."""
        return len(self.images) // self.batch_size

    def __len__(self) -> int:
        return -(-self.steps // self.at_once)

    def __iter__(self) -> Iterator[tuple[int, Iterator[tuple[Tensor, Tensor]]]]:
        batches = self.mini_batches()
        for start in range(0, self.steps, self.at_once):
            number = min(self.at_once, self.steps - start)
            # Made when they are wanted: what lies in the cache is then trained on at once.
            yield number, islice(batches, number)

    def mini_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this epoch's mini-batches."""
        epoch = self.epoch()
        order = Noise(self.seed, "order", epoch).shared_permutation(len(self.images))
        order = order.to(self.device)
        noise = Noise(
            self.seed, "binarization", epoch, device=self.device, rank=self.rank, world=self.world
        )
        own = self.batch_size // self.world
        for step in range(self.steps):
            start = step * self.batch_size + self.rank * own
            index = order[start : start + own]
            if self.dynamic:
                threshold = self.thresholds.index_select(0, index)
                y = torch.empty(threshold.shape, dtype=torch.uint8, device=threshold.device)
                # The largest word stands for none, so that the largest grey value always is a one.
                words = noise.words(*y.shape).clamp_(max=LARGEST_WORD - 1)
                torch.lt(words, threshold, out=y)
            else:
                y = self.images.index_select(0, index)
            yield y, index


class EvaluationBlocks:
    """Blocks (y, number of the block) of a split in order; rank r holds every world-th block.

    All ranks have as many rounds, because Lightning lets a rank without any sit out the validation
    while the others wait for it: where a round has no block for a rank, it gets an empty one.
    """

    def __init__(
        self, images: Tensor, device: torch.device | str = "cpu", rank: int = 0, world: int = 1
    ):
        self.blocks = images.to(device).split(EVALUATION_BLOCK)
        self.empty = images[:0].to(device)
        rounds = -(-len(self.blocks) // world)
        self.own = range(rank, rounds * world, world)

    def __len__(self) -> int:
        return len(self.own)

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        for number in self.own:
            yield (self.blocks[number] if number < len(self.blocks) else self.empty), number


class TaskDataModule(pl.LightningDataModule):
    """A task's batches on the trainer's device, sharded by rank.

    Args:
        data: The task's images.
        batch_size: Number of data in one optimizer step, over all devices.
        seed: The run's seed, from which the order and the binarization draws are derived.
    """

    def __init__(self, data: TaskData, batch_size: int, seed: int):
        super().__init__()
        self.data, self.batch_size, self.seed = data, batch_size, seed

    def _place(self) -> dict:
        return {
            "device": self.trainer.strategy.root_device,
            "rank": self.trainer.global_rank,
            "world": self.trainer.world_size,
        }

    def train_dataloader(self) -> TrainingBatches:
        epoch = lambda: self.trainer.current_epoch
        return TrainingBatches(self.data, self.batch_size, self.seed, epoch, **self._place())

    def val_dataloader(self) -> EvaluationBlocks:
        return EvaluationBlocks(self.data.validation, **self._place())
