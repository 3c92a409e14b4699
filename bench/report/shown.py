"""What figures and the page share: which part of a record they show, and how."""

import io
from base64 import b64decode

import numpy as np
from PIL import Image

from bench.errors import InputError

# Pixels of the largest picture: a small file may claim to have any number.
MOST_PIXELS = 2**22
CURVES = ("train_elbo", "validation_elbo")


def by_model(records: list[dict]) -> dict[str, list[dict]]:
    groups: dict[str, list[dict]] = {}
    for record in records:
        groups.setdefault(record["model"], []).append(record)
    return groups


def visible_range(records: list[dict]) -> tuple[float, float] | None:
    """Return the range of nats in which one model's curves are drawn; None draws all of them.

    The first epochs of a long training are far below; what is to be seen is where the curves end.
    """
    ends = [point[name] for r in records for point in r["history"][2:] for name in CURVES]
    if len(ends) < 20 * len(records):
        return None
    low, high = float(np.percentile(ends, 3)), max(ends)
    return low - 0.05 * (high - low), high + 0.08 * (high - low)


def decoded(encoded: str, title: str) -> np.ndarray:
    """Return the pixels of a grey or coloured PNG in base64. Raises InputError if it is none."""
    try:
        image = Image.open(io.BytesIO(b64decode(encoded)), formats=["PNG"])
        if image.mode not in ("L", "RGB") or image.width * image.height > MOST_PIXELS:
            raise ValueError(f"{image.width} × {image.height} pixels of kind {image.mode}")
        return np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"record: an image of {title!r} is no PNG to show: {error}") from None
