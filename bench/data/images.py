"""Readers of raw image files, each identified by the hash of its payload."""

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.payloads import members_of, read_payload
from bench.errors import InputError

# SHA-256 of the decompressed file: mirrors may compress it differently.
PAYLOADS = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    },
}
CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"
CIFAR10_TRAIN = [f"data_batch_{i}.bin" for i in range(1, 6)]
CIFAR10_TEST = ["test_batch.bin"]
# The published MD5 of the archive. Records hold the SHA-256 of its members.
CIFAR10_ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
# Size of each file in bytes, decompressed, but of the archive as it is.
SIZES = {
    "train-images-idx3-ubyte": 16 + 60_000 * 28 * 28,
    "t10k-images-idx3-ubyte": 16 + 10_000 * 28 * 28,
    CIFAR10_ARCHIVE: 170_052_171,
} | dict.fromkeys(CIFAR10_TRAIN + CIFAR10_TEST, 10_000 * (1 + 3 * 32 * 32))
# The folder of Debian's dataset packages.
DEBIAN_DATASETS = Path("/usr/share/datasets")
SUBFOLDER = {"mnist": "mnist", "fashion_mnist": "fashion-mnist", "cifar10": "cifar10"}


# Pixels of images, or any other array of bytes.
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class RawImages:
    """Images as published.

    Attributes:
        train: uint8 of shape (n, channels, height, width).
        test: The same; None for a dataset of one file, whose splits all come from ``train``.
        levels: Number of values that a pixel takes.
        payloads: {file name: SHA-256 of its payload}.
    """

    train: Pixels
    test: Pixels | None
    levels: int
    payloads: dict[str, str]


def cache_directory() -> Path:
    """Return the folder of fetched data, below ``XDG_CACHE_HOME`` if that is set."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "likelihood-bench"
    except RuntimeError:
        raise InputError("data: the home folder is unknown; set XDG_CACHE_HOME") from None


def search_directories(dataset: str) -> list[Path]:
    """Return the folders to search for ``dataset``, in order."""
    folder = SUBFOLDER[dataset]
    chosen = os.environ.get("BENCH_DATA")
    own = [Path(chosen) / folder, Path(chosen)] if chosen else []
    return [*own, DEBIAN_DATASETS / folder, cache_directory() / folder]


def find_file(dataset: str, name: str) -> Path | None:
    """Return the first file called ``name``, or ``name``.gz, along the search order.

    Raises:
        InputError: A folder in the search order cannot be searched.
    """
    for directory in search_directories(dataset):
        for candidate in (directory / name, directory / f"{name}.gz"):
            if exists(candidate) and belongs_to(dataset, name, candidate, directory):
                return candidate
    return None


def exists(path: Path) -> bool:
    """Return whether anything has this name; reading it will check that it is a file of data.

    Raises:
        InputError: The folder cannot be searched.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # no permission, or an invalid file name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"data: cannot search {path}: {reason}") from None
    return True


def belongs_to(dataset: str, name: str, path: Path, directory: Path) -> bool:
    """Return whether ``path`` is a file of ``dataset``, though perhaps a damaged one.

    MNIST and Fashion-MNIST use the same file names. In a folder with the dataset's name a wrong
    payload is an error; directly in ``BENCH_DATA`` it may be the other dataset.
    """
    if directory.name == SUBFOLDER[dataset] or dataset not in PAYLOADS:
        return True
    foreign = {h for other, files in PAYLOADS.items() if other != dataset for h in files.values()}
    return sha256(payload_of(dataset, name, path)) not in foreign


def payload_of(dataset: str, name: str, path: Path) -> bytes:
    """Read the payload of ``name`` from ``path``. Raises InputError if it is damaged."""
    try:
        return read_payload(path, SIZES[name], path.name != name)
    except OSError as error:
        raise damaged(dataset, name, path, str(error)) from None


def published_payload(dataset: str, name: str, path: Path) -> bytes:
    """Read the payload of ``name``. Raises InputError if it is not the published one."""
    payload = payload_of(dataset, name, path)
    if name == CIFAR10_ARCHIVE:
        kind, found, expected = "MD5", hashlib.md5(payload).hexdigest(), CIFAR10_ARCHIVE_MD5
    else:
        kind, found, expected = "SHA-256", sha256(payload), PAYLOADS[dataset][name]
    if found != expected:
        reason = f"its payload has {kind} {found}, the published one {expected}"
        raise damaged(dataset, name, path, reason)
    return payload


def damaged(dataset: str, name: str, path: Path, reason: str) -> InputError:
    return InputError(
        f"data: {path} is not {dataset}'s {name}: {reason}; remove it, and {how_to_get(dataset)}"
    )


def how_to_get(dataset: str) -> str:
    """Return the instruction that makes ``dataset`` available."""
    return "run `bench data cifar10`" if dataset == "cifar10" else "run `make data`"


def sha256(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def parse_idx(payload: bytes, name: str) -> Pixels:
    """Parse IDX images (magic number 2051: uint8 of three axes) into (n, 1, height, width)."""
    if len(payload) < 16:
        raise InputError(f"data: {name} is not an IDX file: only {len(payload)} bytes long")
    magic, n, height, width = struct.unpack(">IIII", payload[:16])
    if magic != 2051 or len(payload) != 16 + n * height * width:
        raise InputError(
            f"data: {name} is not an IDX image file: magic number {magic} (2051 expected), "
            f"{len(payload)} bytes for {n} images of {height} × {width}"
        )
    return np.frombuffer(payload, np.uint8, offset=16).reshape(n, 1, height, width)


def parse_cifar10(payload: bytes, name: str) -> Pixels:
    """Parse CIFAR-10's binary version: records of 1 label byte and 3·32·32 pixels."""
    record = 1 + 3 * 32 * 32
    if not payload or len(payload) % record:
        raise InputError(
            f"data: {name} is not a CIFAR-10 binary file: {len(payload)} bytes are not a "
            f"multiple of {record}"
        )
    rows = np.frombuffer(payload, np.uint8).reshape(-1, record)
    return rows[:, 1:].reshape(-1, 3, 32, 32)


def load_raw(dataset: str) -> RawImages:
    """Load ``dataset`` along the search order and check it.

    Raises:
        InputError: It is not found (the message names the searched folders and how to get it), or
            its payload is not the published one.
    """
    if dataset == "digits":
        return load_digits()
    if dataset == "cifar10":
        return load_cifar10()
    arrays, payloads = [], {}
    for name, expected in PAYLOADS[dataset].items():
        path = find_file(dataset, name)
        if path is None:
            raise not_found(dataset, name)
        payload = published_payload(dataset, name, path)
        payloads[name] = expected
        arrays.append(parse_idx(payload, name))
    return RawImages(arrays[0], arrays[1], 256, payloads)


def load_digits() -> RawImages:
    """Load scikit-learn's 8 × 8 digits, values 0…16, from its installed wheel."""
    # scikit-learn has no types.
    from sklearn.datasets import load_digits as sklearn_digits

    images = sklearn_digits().images.astype(np.uint8)[:, None]
    return RawImages(images, None, 17, {"digits": sha256(images.tobytes())})


def load_cifar10() -> RawImages:
    """Load CIFAR-10's binary version from its archive or its unpacked files."""
    arrays, payloads = {}, {}
    names = CIFAR10_TRAIN + CIFAR10_TEST
    archive = find_file("cifar10", CIFAR10_ARCHIVE)
    if archive is not None:
        content = published_payload("cifar10", CIFAR10_ARCHIVE, archive)
        contents = members_of(content, {name: SIZES[name] for name in names})
    else:
        found = {name: find_file("cifar10", name) for name in names}
        paths = {name: path for name, path in found.items() if path is not None}
        if len(paths) < len(names):
            raise not_found("cifar10", CIFAR10_ARCHIVE)
        contents = {name: payload_of("cifar10", name, path) for name, path in paths.items()}
    for name, payload in contents.items():
        payloads[name] = sha256(payload)
        arrays[name] = parse_cifar10(payload, name)
    train = np.concatenate([arrays[name] for name in CIFAR10_TRAIN])
    return RawImages(train, np.concatenate([arrays[name] for name in CIFAR10_TEST]), 256, payloads)


def not_found(dataset: str, name: str) -> InputError:
    searched = ", ".join(map(str, search_directories(dataset)))
    return InputError(
        f"data: {dataset} not found; {how_to_get(dataset)}, or set BENCH_DATA to its folder: "
        f"no {name} or {name}.gz in {searched}"
    )
