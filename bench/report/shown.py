"""Shared by figures and the page: which part of a record is shown, and how."""

import io
from base64 import b64decode
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.errors import InputError
from bench.records.types import Record

# Pixels of the largest picture: the header of a small file may claim any number.
MOST_PIXELS = 2**22
# The curves of a training, in nats per datum.
Curve = Literal["train_elbo", "validation_elbo"]
CURVES: tuple[Curve, ...] = get_args(Curve)
# The parts of −ELBO, with name and colour. Light, dark, light: neighbours differ in grey too.
PARTS = {
    "mutual_information": ("mutual information", "#b58900"),
    "marginal_kl": ("marginal KL", "#b8405f"),
    "reconstruction": ("−reconstruction", "#6aa5dd"),
}


def by_model(records: Sequence[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record["model"], []).append(record)
    return groups


def visible_range(records: Sequence[Record]) -> tuple[float, float] | None:
    """Return the range of nats that a figure shows of one model's curves; None is the whole range.

    The bounds of the first epochs of a long training are far lower than the ends of its curves,
    which are what a figure should resolve.
    """
    ends = [point[name] for r in records for point in r["history"][2:] for name in CURVES]
    if len(ends) < 20 * len(records):
        return None
    low, high = float(np.percentile(ends, 3)), max(ends)
    return low - 0.05 * (high - low), high + 0.08 * (high - low)


def decoded(encoded: str, title: str) -> NDArray[np.uint8]:
    """Return the pixels of a grey or coloured PNG in base64. Raises InputError if it is not one."""
    try:
        image = Image.open(io.BytesIO(b64decode(encoded)), formats=["PNG"])
        if image.mode not in ("L", "RGB") or image.width * image.height > MOST_PIXELS:
            raise ValueError(f"{image.width} × {image.height} pixels of kind {image.mode}")
        return np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            f"record: an image of {title!r} is not a PNG that can be shown: {error}"
        ) from None
