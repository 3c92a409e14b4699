"""Figures as files: small PNGs, a byte for each pixel, or PDF and SVG."""

import io
import warnings

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

# Colours of a palette: the most frequent ones, and then those that are farthest from all others.
FREQUENT, FAR = 128, 128


FORMATS = ("png", "pdf", "svg")


def figure_bytes(figure: Figure, form: str, dpi: int) -> bytes:
    """Return a figure as png, pdf or svg; equal figures give equal bytes."""
    if form == "png":
        return figure_png(figure, dpi)
    # Without the time of day.
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    return drawn(figure, form, dpi, dates[form])


def drawn(figure: Figure, form: str, dpi: int, metadata: dict[str, None]) -> bytes:
    """Return what matplotlib writes of a figure."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # The font may lack letters of a model's name.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(stream, format=form, dpi=dpi, metadata=metadata)
    return stream.getvalue()


def figure_png(figure: Figure, dpi: int) -> bytes:
    """Return a figure as a PNG; equal figures give equal bytes.

    A figure has a few colours, and up to thousands of shades at the edges of letters and lines. Of
    more than 256 of them, the others become the nearest of 256. A grey figure loses nothing.
    """
    with Image.open(io.BytesIO(drawn(figure, "png", dpi, {})), formats=["PNG"]) as image:
        pixels = np.asarray(image.convert("RGB"))
    small = io.BytesIO()
    of_few_colors(pixels).save(small, "png", optimize=True)
    return small.getvalue()


def of_few_colors(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return the image of pixels (height, width, 3) with a byte for each of them."""
    if (pixels == pixels[:, :, :1]).all():
        return Image.fromarray(pixels[:, :, 0])
    codes = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    found, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    colors = np.stack([found >> 16, found >> 8 & 255, found & 255], 1)
    palette, nearest = palette_of(colors, counts)
    image = Image.fromarray(nearest[inverse].reshape(codes.shape))
    image.putpalette(palette.astype(np.uint8).tobytes())
    return image


def palette_of(
    colors: NDArray[np.int32], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return at most 256 of the colours (n, 3), and for each colour its place among them, (n,)."""
    chosen = list(np.argsort(-counts, kind="stable")[:FREQUENT])
    distances = np.stack([np.abs(colors - colors[one]).max(1) for one in chosen])
    nearest, distance = distances.argmin(0), distances.min(0)
    while len(chosen) < FREQUENT + FAR and distance.max() > 0:
        chosen.append(distance.argmax())
        from_new = np.abs(colors - colors[chosen[-1]]).max(1)
        nearest = np.where(from_new < distance, len(chosen) - 1, nearest)
        distance = np.minimum(distance, from_new)
    return colors[chosen], nearest.astype(np.uint8)
