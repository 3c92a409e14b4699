"""The task of images of the user's own, which are identified by their pixels, wherever they lie."""

import os
import re
from dataclasses import dataclass

from bench.data.images import Pixels
from bench.data.levels import (
    Binarization,
    check_known,
    check_left_out,
    left_out,
    levels_after,
    task_name,
)
from bench.data.own_images import OwnImages, read_own
from bench.data.pixels import checked_levels
from bench.data.places import PLACES
from bench.errors import InputError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,49}", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class OwnTask:
    """The images that are modelled, if they are the user's own.

    Attributes:
        dataset: The name that the user gave the images.
        native_levels: Number of values that a pixel takes in the files.
        pixels_sha256: Hash of the pixels of all splits, see `OwnImages`.
        binarization: As in `Task`.
        leave_out_every: As in `Task`.

    Raises:
        InputError: A name, number or binarization that cannot be.
    """

    dataset: str
    native_levels: int
    pixels_sha256: str
    binarization: Binarization = "none"
    leave_out_every: int = 0

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.dataset):
            raise InputError(
                f"data.name: '{self.dataset[:100]}' is not made of at most 50 letters, digits and hyphens"
            )
        checked_levels(self.native_levels, "data.levels")
        if not SHA256.fullmatch(self.pixels_sha256):
            raise InputError("data.pixels_sha256: not a hash of 64 hexadecimal digits")
        check_known("binarization", self.binarization, Binarization)
        if self.binarization != "none" and self.native_levels == 2:
            raise InputError(
                f"data.binarization: {self.binarization} of images of 2 levels, which are binary already"
            )
        check_left_out(self.leave_out_every, self.binarization, self.levels)

    @property
    def levels(self) -> int:
        """Number of values that a pixel takes."""
        return levels_after(self.binarization, self.native_levels)

    @property
    def name(self) -> str:
        """The name under which results are compared: my-images-256, my-images-dynamic, …"""
        return task_name(self.dataset, self.binarization, self.levels, self.leave_out_every)

    @property
    def left_out_levels(self) -> list[int]:
        """The levels that training images do not contain."""
        return left_out(self.leave_out_every, self.levels)


def give_images(place: str) -> OwnImages:
    """Read the user's images, and keep in mind where those of this hash lie.

    Raises:
        InputError: They cannot be read or modelled.
    """
    place = os.path.abspath(place)
    images = read_own(place)
    PLACES[images.sha256] = place
    return images


def check_levels(images: OwnImages, levels: int) -> None:
    """Raise InputError if a pixel has a value above the levels."""
    if images.one_bit and levels != 2:
        raise InputError(f"data: {images.one_bit} has one bit per pixel; give --data.levels 2")
    if images.largest >= levels:
        is_black_or_white = levels == 2 and images.largest == 255
        hint = (
            "; of grey levels, --data.binarization threshold makes two" if is_black_or_white else ""
        )
        raise InputError(
            f"data: {images.brightest} has the value {images.largest} on levels 0 … {levels - 1}{hint}"
        )


def place_of(task: OwnTask) -> str:
    """Return where a task's images lie. Raises InputError if the user has not said."""
    place = PLACES.get(task.pixels_sha256)
    if place is None:
        others = ", ".join(f"{sha256[:12]}…" for sha256 in PLACES)
        given = f"; those that were given have {others}" if others else ""
        raise InputError(
            f"data: this run needs the images {task.dataset} with SHA-256 {task.pixels_sha256}: give their "
            f"place by --data.path{given}"
        )
    return place


def own_splits(task: OwnTask) -> dict[str, Pixels]:
    """Return the images of a task, uint8 (n, channels, height, width) of each split.

    Raises:
        InputError: The user has not said where they lie, or they are others now.
    """
    place = place_of(task)
    images = read_own(place)
    if images.sha256 != task.pixels_sha256:
        raise InputError(
            f"data: {place} has changed: its pixels have SHA-256 {images.sha256}, and the run is of "
            f"{task.pixels_sha256}"
        )
    check_levels(images, task.native_levels)
    return images.splits
