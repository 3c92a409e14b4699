"""Readers of the user's own images: a folder of PNG and JPEG files, an array, or an IDX file.

Whatever file they come from, the same images in the same splits are the same data: each split is sorted
by the hashes of its images.
"""

import hashlib
import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.images import Pixels
from bench.data.own_arrays import is_idx, read_idx, read_npy, read_npz
from bench.data.own_folder import MODES, Folder, read_folder
from bench.data.pixels import CHANNELS, MOST_LEVELS, checked
from bench.errors import InputError

# {name of a subfolder, or of an array in an .npz file: the split}.
SPLITS = {"train": "train", "valid": "validation", "test": "test"}
# Of ten images with different hashes one is for validation and one for the test.
TENTHS = {"test": 1, "validation": 2}


@dataclass(frozen=True)
class OwnImages:
    """Images of the user's.

    Attributes:
        splits: {train, validation, test: uint8 (n, channels, height, width)}.
        sha256: Hash of the pixels of all splits.
        largest: The largest value of a pixel.
        brightest: A file that has it.
        one_bit: A file that stores one bit per pixel; empty without one.
        notes: Lines for the user.
    """

    splits: dict[str, Pixels]
    sha256: str
    largest: int
    brightest: str
    one_bit: str
    notes: tuple[str, ...]


def read_own(place: str) -> OwnImages:
    """Read the user's images.

    Args:
        place: A folder of PNG and JPEG files, or one with the subfolders train, valid and test; an
            .npy file; an .npz file of one array, or of the arrays train, valid and test; or an IDX
            file, compressed by gzip or not.

    Raises:
        InputError: It cannot be read, does not fit in memory, or has no images that can be modelled;
            the line names the file.
    """
    try:
        seen = fingerprint(place)
    except (OSError, ValueError) as error:
        where, reason = getattr(error, "filename", None), getattr(error, "strerror", None)
        raise InputError(f"data: {where or place}: {reason or error}") from None
    return _read(place, seen)


def fingerprint(place: str) -> tuple[object, ...]:
    """Return what changes when a file, or one in a folder, is written."""
    paths, folders = [place], [place, *(os.path.join(place, name) for name in SPLITS)]
    for folder in filter(os.path.isdir, folders):
        paths += [os.path.join(folder, name) for name in os.listdir(folder)]
    stats = [(path, os.stat(path)) for path in sorted(paths)]
    return tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats)


@lru_cache(maxsize=1)
def _read(place: str, seen: tuple[object, ...]) -> OwnImages:
    path, notes = Path(place), list[str]()
    whole, arrays = dict[str, Pixels](), dict[str, NDArray[np.generic]]()
    folders = split_folders(path) if path.is_dir() else {}
    parts = {name: read_folder(folder) for name, folder in folders.items()}
    if folders:
        whole = {name: part.pixels for name, part in parts.items()}
        refuse_mixed_modes(parts)
    elif path.suffix == ".npy":
        arrays[""] = read_npy(path)
    elif path.suffix == ".npz":
        arrays = read_npz(path, tuple(SPLITS))
    elif is_idx(path):
        arrays[""] = read_idx(path)
    else:
        raise InputError(f"data: {place} is neither a folder, nor an .npy, .npz or IDX file")
    for name in list(arrays):
        whole[name] = pixels_of(arrays.pop(name), f"data: {path / name if name else path}", notes)
    refuse_mixed_shapes(whole, place)
    splits = hashed_splits(whole[""], place) if "" in whole else given_splits(whole, place, notes)
    largest = max(int(images.max()) for images in splits.values())
    brightest = next((p.brightest for p in parts.values() if p.pixels.max() == largest), place)
    one_bit = next((part.one_bit for part in parts.values()), "")
    return OwnImages(splits, hash_of(splits), largest, brightest, one_bit, tuple(notes))


def split_folders(folder: Path) -> dict[str, Path]:
    """Return the subfolders by their names, or the folder itself as ""."""
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    folders = [path.name for path in inside if path.is_dir()]
    if not folders:
        return {"": folder}
    if set(folders) == set(SPLITS) and len(inside) == len(SPLITS):
        return {name: folder / name for name in SPLITS}
    raise InputError(
        f"data: {folder} has the subfolder {next((n for n in folders if n not in SPLITS), folders[0])}: "
        f"it may have image files, or the subfolders {', '.join(SPLITS)}, and nothing beside them"
    )


def pixels_of(array: NDArray[np.generic], where: str, notes: list[str]) -> Pixels:
    """Return images as uint8 (n, channels, height, width), and add to the lines for the user."""
    if array.dtype.kind == "f":
        some = np.asarray(array[:1000], np.float64)
        is_share = some.size > 0 and 0 <= some.min() and some.max() <= 1
        which = " in [0, 1]" if is_share else ""
        how = ": (255 * x).round().astype('uint8')" if is_share else ""
        raise InputError(
            f"{where}: its values are floats{which}; likelihoods are of integers: store 8-bit levels{how}"
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images = checked(array, MOST_LEVELS, where)
    notes += [f"{where}: {warning.message}" for warning in caught]
    if images.shape[1] not in CHANNELS:
        raise InputError(
            f"{where}: images of {images.shape[1]} channels; grey ones have 1 and RGB 3, and there is no "
            "alpha channel"
        )
    return images


def refuse_mixed_modes(parts: dict[str, Folder]) -> None:
    first = next(iter(parts.values()))
    for part in parts.values():
        if part.mode != first.mode:
            raise InputError(
                f"data: {part.first} is {MODES[part.mode]}, but {first.first} is {MODES[first.mode]}; all "
                "images have to be of one kind"
            )


def refuse_mixed_shapes(arrays: dict[str, Pixels], place: str) -> None:
    shapes = {name: images.shape[1:] for name, images in arrays.items()}
    first = next(iter(shapes.values()))
    for name, shape in shapes.items():
        if shape != first:
            raise InputError(
                f"data: {place}: images of {shape} (channels, height, width) in {name}, but of {first} in "
                "train"
            )


def digests_of(images: Pixels) -> list[bytes]:
    return [hashlib.sha256(image.tobytes()).digest() for image in images]


def in_order(images: Pixels, digests: list[bytes], chosen: list[int]) -> Pixels:
    """Return the chosen images, sorted by their hashes."""
    return images[sorted(chosen, key=lambda index: digests[index])]


def hashed_splits(images: Pixels, place: str) -> dict[str, Pixels]:
    """Return splits in which an image's place depends on its own pixels alone.

    Raises:
        InputError: A split has fewer than 2 images.
    """
    digests = digests_of(images)
    chosen: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for index, digest in enumerate(digests):
        tenth = int.from_bytes(digest[:8]) * 10 >> 64
        split = next((name for name, end in TENTHS.items() if tenth < end), "train")
        chosen[split].append(index)
    for split, own in chosen.items():
        if len(own) < 2:
            raise InputError(
                f"data: {place}: {len(own)} of its images fall into the {split} split by their hash, "
                "and 2 are needed; give more images, or splits of your own: train, valid and test"
            )
    return {split: in_order(images, digests, own) for split, own in chosen.items()}


def given_splits(arrays: dict[str, Pixels], place: str, notes: list[str]) -> dict[str, Pixels]:
    """Return the splits that the user made, and note how many images are in two of them."""
    splits, known, doubles, total = {}, set[bytes](), 0, 0
    for name, split in SPLITS.items():
        if len(arrays[name]) < 2:
            raise InputError(
                f"data: {place}: {len(arrays[name])} images in {name}; at least 2 are needed"
            )
        digests = digests_of(arrays[name])
        splits[split] = in_order(arrays[name], digests, list(range(len(digests))))
        if split != "train":
            doubles += sum(digest in known for digest in digests)
            total += len(digests)
        known |= set(digests)
    if doubles:
        notes.append(
            f"data: {place}: {doubles} of the {total} images of valid and test are also in a split before "
            "them, where a model may have seen them"
        )
    return splits


def hash_of(splits: dict[str, Pixels]) -> str:
    digest = hashlib.sha256()
    for split, images in splits.items():
        digest.update(f"{split}:{images.shape}:".encode())
        digest.update(images.data)
    return digest.hexdigest()
