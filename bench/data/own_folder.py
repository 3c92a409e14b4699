"""Images in a folder of PNG and JPEG files."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.data.images import Pixels
from bench.data.pixels import refuse_too_large
from bench.errors import InputError, reason_of
from bench.system.files import regular_file

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
# Pillow's modes: one bit, grey and RGB, with what a message calls them.
MODES = {"1": "of one bit per pixel", "L": "grey", "RGB": "RGB"}
REFUSED = {
    "P": "has a palette; convert it to grey or RGB",
    "PA": "has an alpha channel; remove it",
    "LA": "has an alpha channel; remove it",
    "La": "has an alpha channel; remove it",
    "RGBA": "has an alpha channel; remove it",
    "RGBa": "has an alpha channel; remove it",
    "I": "has 16 bits or more per pixel and channel; reduce it to 8",
    "F": "has floats as pixels; store 8-bit levels",
}
SIXTEEN_BIT = "has 16 bits per pixel and channel; reduce it to 8"
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Folder:
    """The images of a folder.

    Attributes:
        pixels: uint8 (n, channels, height, width), in the order of the files' names.
        mode: Pillow's mode of all of them.
        first: The first file.
        brightest: A file that has the largest value.
    """

    pixels: Pixels
    mode: str
    first: str
    brightest: str

    @property
    def one_bit(self) -> str:
        """A file of one bit per pixel; empty if no file is."""
        return self.first if self.mode == "1" else ""


def read_folder(folder: Path) -> Folder:
    """Return the images of a folder.

    Raises:
        InputError: There are no images, or one of them is damaged, of another size or kind.
    """
    names = image_names(folder)
    first, mode, pixels = names[0], *read_image(folder / names[0])
    refuse_too_large((len(names), *pixels.shape), f"data: {folder}")
    whole = np.empty((len(names), *pixels.shape), np.uint8)
    for index, name in enumerate(names):
        own, pixels = read_image(folder / name)
        if own != mode:
            raise InputError(
                f"data: {folder / name} is {MODES[own]}, but {first} is {MODES[mode]}; all images have to "
                "be of one kind"
            )
        if pixels.shape != whole.shape[1:]:
            sizes = [f"{width} × {height}" for _, height, width in (pixels.shape, whole.shape[1:])]
            raise InputError(
                f"data: {folder / name} is {sizes[0]}, but {first} is {sizes[1]}; all images have to be of "
                "one size"
            )
        whole[index] = pixels
    brightest = names[int(whole.reshape(len(names), -1).max(1).argmax())]
    return Folder(whole, mode, str(folder / first), str(folder / brightest))


def image_names(folder: Path) -> list[str]:
    """Return the names of a folder's images. Hidden files are passed over, others are refused."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    for name in names:
        if not name.lower().endswith(SUFFIXES):
            raise InputError(
                f"data: {folder / name} is no PNG or JPEG file; the folder may have nothing else"
            )
    if not names:
        raise InputError(f"data: {folder} is empty; it has to have PNG or JPEG files")
    return names


def read_image(path: Path) -> tuple[str, Pixels]:
    """Return the mode and the pixels, uint8 (channels, height, width), of an image file."""
    from PIL import Image

    try:
        with regular_file(path) as file:
            start = file.read(26)
            file.seek(0)
            with Image.open(file, formats=("PNG", "JPEG")) as image:
                refuse_kind(image, start, path)
                pixels = np.asarray(image).astype(np.uint8)
                return image.mode, np.moveaxis(pixels.reshape(*pixels.shape[:2], -1), -1, 0)
    except InputError:
        raise
    except Exception as error:  # Pillow raises many types for damaged files
        reason = reason_of(error, 150)
        reason = "it is neither a PNG nor a JPEG" if "cannot identify" in reason else reason
        raise InputError(f"data: {path} cannot be read as an image: {reason}") from None


def refuse_kind(image: "Image", start: bytes, path: Path) -> None:
    """Raise InputError unless an image is grey or RGB, of 8 bits or of one."""
    problem = REFUSED.get(image.mode)
    # Pillow reduces 16-bit RGB to 8 bits without a word; the header has the depth as its 25th byte.
    if start.startswith(PNG) and struct.unpack(">B", start[24:25])[0] == 16:
        problem = SIXTEEN_BIT
    elif image.mode.startswith("I;16"):
        problem = SIXTEEN_BIT
    elif "transparency" in image.info and image.mode in MODES:
        problem = "has a transparent colour; remove it"
    elif image.mode not in MODES:
        problem = problem or f"is in the colour mode {image.mode}; convert it to grey or RGB"
    elif getattr(image, "n_frames", 1) > 1:
        problem = "holds several pictures; give each as a file"
    if problem:
        raise InputError(f"data: {path} {problem}")
