"""Images of loaders that users write: what they must be, and which data of a split they are."""

from collections.abc import Sequence
from math import prod
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from bench.data.tasks import TaskData
from bench.errors import InputError
from bench.training.batches import Batch, TaskDataModule

# Batch size with which a training split is collected from a loader.
COLLECTED = 1000


def images_of(batch: Any) -> Batch:
    """Return a loader's output as a batch: its images, or the first of several entries.

    Raises:
        InputError: These are not uint8 images.
    """
    first = batch[0] if isinstance(batch, Sequence) and len(batch) else batch
    if not isinstance(first, Tensor) or first.dtype != torch.uint8 or first.ndim < 2:
        found = f"{first.dtype} {tuple(first.shape)}" if isinstance(first, Tensor) else type(first)
        raise InputError(
            f"batch: {found}, where uint8 images (batch, channels, height, width) or (batch, D) with "
            "values 0 … levels − 1 are needed, alone or as the first of several entries"
        )
    if not len(first):
        raise InputError("batch: it has no images")
    return Batch(first.flatten(1))


class IndexOf:
    """Finds images in a training split of uint8 (n, D)."""

    def __init__(self, images: Tensor):
        self.places = {row.tobytes(): place for place, row in enumerate(images.cpu().numpy())}

    def __call__(self, batch: Batch) -> Batch:
        """Return a batch with the index of each of its images. Raises InputError for other images."""
        places = [self.places.get(row.tobytes(), -1) for row in batch.images.cpu().numpy()]
        if -1 in places:
            raise InputError(
                "batch: an image that is not in the training split that the prior is made of; "
                "TaskDataModule draws images anew and says which they are"
            )
        return Batch(batch.images, torch.tensor(places, device=batch.images.device))


def check_task(data: TaskData, shape: Sequence[int], levels: int) -> None:
    """Raise InputError unless a task's images have this shape and as many levels."""
    found, needed = (tuple(data.shape), data.task.levels), (tuple(shape), levels)
    if found != needed:
        raise InputError(
            f"data: {data.task.name} has images of {found[0]} with {found[1]} levels, and the model "
            f"is for {needed[0]} with {needed[1]}"
        )


def check_images(images: Tensor, shape: Sequence[int], levels: int) -> None:
    """Raise InputError unless uint8 images (batch, D) have this shape and at most these levels."""
    if images.shape[1] != prod(shape):
        raise InputError(
            f"batch: images of {images.shape[1]} values, where the model's have {prod(shape)}: "
            f"{tuple(shape)}"
        )
    largest = int(images.max()) if len(images) else 0
    if largest >= levels:
        raise InputError(
            f"batch: a pixel of {largest}, where the model has the levels 0 to {levels - 1}"
        )


def training_images(trainer: pl.Trainer) -> Tensor:
    """Return the training split, uint8 (n, D), that ``trainer.fit`` was called with."""
    if isinstance(trainer.datamodule, TaskDataModule):
        return trainer.datamodule.data.train
    trainer.fit_loop.setup_data()
    loader = trainer.train_dataloader
    try:
        has_images = len(loader) > 0
    except TypeError:
        raise InputError(
            "training split: a loader without a length may never end; give the model its training "
            "images by attach(images) before fit"
        ) from None
    if not has_images:
        raise InputError("training split: the loader has no batch")
    if isinstance(loader, DataLoader):
        yields_items = loader.batch_sampler is None
        # In the data set's own order, which neither draws random numbers nor drops data.
        loader = DataLoader(
            loader.dataset,
            None if yields_items else COLLECTED,
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
        )
    return torch.cat([images_of(batch).images for batch in loader])
