"""Raw data files: their names, hashes and sizes, and where they are searched for."""

import hashlib
import os
from pathlib import Path

from bench.data.payloads import (
    members_of,
    pixels_of_npz,
    pixels_of_text,
    read_payload,
)
from bench.errors import InputError

CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"
CIFAR10_TRAIN = [f"data_batch_{i}.bin" for i in range(1, 6)]
CIFAR10_TEST = ["test_batch.bin"]
# The published MD5 of the archive, so that nobody else's is unpacked.
CIFAR10_ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
LAROCHELLE_SPLITS = {"train": 50_000, "valid": 10_000, "test": 10_000}
# The same images, packed by NumPy: arrays train, valid and test of shape (n, 98), 8 pixels a byte.
LAROCHELLE_PACKED = "static_mnist_larochelle_packed.npz"
# SHA-256 of the decompressed file, since mirrors may compress it differently. Of an .amat file, which
# is text, it is that of the pixels as one byte each.
PAYLOADS = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    },
    "cifar10": {
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    },
    "mnist_larochelle": {
        "binarized_mnist_train.amat": "43490d4d6ac9002727af4426d8748609fdb7e4094fa65ad8d681ea60082a7a5a",
        "binarized_mnist_valid.amat": "069b4f0beb389b776478c3e872b4df71c95ac4be64d7cbe6d32e24ebac8e6d5e",
        "binarized_mnist_test.amat": "ca0294c3b8d984c7a1dc891015a8eea6f37bae59a34e35ea0fc8c47110a8dd86",
    },
}
# A file that holds all files of a dataset. Such datasets are fetched on demand only.
CONTAINERS = {"cifar10": CIFAR10_ARCHIVE, "mnist_larochelle": LAROCHELLE_PACKED}
# Size of each file in bytes, decompressed, but of an archive as it is.
SIZES = (
    {
        "train-images-idx3-ubyte": 16 + 60_000 * 28 * 28,
        "t10k-images-idx3-ubyte": 16 + 10_000 * 28 * 28,
        CIFAR10_ARCHIVE: 170_052_171,
    }
    | dict.fromkeys(CIFAR10_TRAIN + CIFAR10_TEST, 10_000 * (1 + 3 * 32 * 32))
    # A digit and a blank for each pixel; the last blank of an image is the end of the line.
    | {f"binarized_mnist_{split}.amat": n * 28 * 28 * 2 for split, n in LAROCHELLE_SPLITS.items()}
)
# The folder of Debian's dataset packages.
DEBIAN_DATASETS = Path("/usr/share/datasets")
SUBFOLDER = {
    "mnist": "mnist",
    "fashion_mnist": "fashion-mnist",
    "cifar10": "cifar10",
    "mnist_larochelle": "mnist-larochelle",
}


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
    others = [files for other, files in PAYLOADS.items() if other != dataset]
    foreign = {files[name] for files in others if name in files}
    if directory.name == SUBFOLDER[dataset] or not foreign:
        return True
    return sha256(payload_of(dataset, name, path)) not in foreign


def found_in(dataset: str) -> Path | None:
    """Return the folder of a dataset's files, or of the first of them; None if one is missing."""
    container = CONTAINERS.get(dataset)
    whole = find_file(dataset, container) if container else None
    paths = [whole] if whole else [find_file(dataset, name) for name in PAYLOADS[dataset]]
    return paths[0].parent if paths[0] is not None and None not in paths else None


def load_payloads(dataset: str) -> dict[str, bytes]:
    """Return {file name: payload} of a dataset, along the search order and each checked.

    Raises:
        InputError: A file is not found (the message names the searched folders and how to get it),
            or its payload is not the published one.
    """
    container = CONTAINERS.get(dataset)
    if container and (path := find_file(dataset, container)):
        return contained_payloads(dataset, path)
    payloads = {}
    for name in PAYLOADS[dataset]:
        path = find_file(dataset, name)
        if path is None:
            raise not_found(dataset, container or name)
        payloads[name] = published_payload(dataset, name, path)
    return payloads


def contained_payloads(dataset: str, path: Path) -> dict[str, bytes]:
    """Return {file name: payload} from a file that holds all of a dataset, each checked."""
    if dataset == "cifar10":
        archive = published_payload(dataset, CIFAR10_ARCHIVE, path)
        payloads = members_of(archive, {name: SIZES[name] for name in PAYLOADS[dataset]})
    else:
        sizes = {split: n * 28 * 28 for split, n in LAROCHELLE_SPLITS.items()}
        try:
            splits = pixels_of_npz(path, sizes)
        except OSError as error:
            raise damaged(dataset, path.name, path, str(error)) from None
        payloads = {f"binarized_mnist_{split}.amat": pixels for split, pixels in splits.items()}
    for name, payload in payloads.items():
        check_hash(dataset, name, path, payload)
    return payloads


def payload_of(dataset: str, name: str, path: Path) -> bytes:
    """Read the payload of ``name`` from ``path``. Raises InputError if it is damaged."""
    try:
        payload = read_payload(path, SIZES[name], path.name != name)
    except OSError as error:
        raise damaged(dataset, name, path, str(error)) from None
    return pixels_of_text(payload) if name.endswith(".amat") else payload


def published_payload(dataset: str, name: str, path: Path) -> bytes:
    """Read the payload of ``name``. Raises InputError if it is not the published one."""
    payload = payload_of(dataset, name, path)
    if name == CIFAR10_ARCHIVE:
        found = hashlib.md5(payload).hexdigest()
        if found != CIFAR10_ARCHIVE_MD5:
            raise another(dataset, name, path, "MD5", found, CIFAR10_ARCHIVE_MD5)
    else:
        check_hash(dataset, name, path, payload)
    return payload


def check_hash(dataset: str, name: str, path: Path, payload: bytes) -> None:
    """Raise InputError unless a payload has the published SHA-256."""
    if (found := sha256(payload)) != (expected := PAYLOADS[dataset][name]):
        raise another(dataset, name, path, "SHA-256", found, expected)


def another(
    dataset: str, name: str, path: Path, kind: str, found: str, expected: str
) -> InputError:
    reason = f"its payload has {kind} {found}, the published one {expected}"
    return damaged(dataset, name, path, reason)


def damaged(dataset: str, name: str, path: Path, reason: str) -> InputError:
    return InputError(
        f"data: {path} is not {dataset}'s {name}: {reason}; remove it, and {how_to_get(dataset)}"
    )


def how_to_get(dataset: str) -> str:
    """Return the instruction that makes ``dataset`` available."""
    return f"run `bench data {dataset}`" if dataset in CONTAINERS else "run `make data`"


def not_found(dataset: str, name: str) -> InputError:
    searched = ", ".join(map(str, search_directories(dataset)))
    return InputError(
        f"data: {dataset} not found; {how_to_get(dataset)}, or set BENCH_DATA to its folder: "
        f"no {name} or {name}.gz in {searched}"
    )


def sha256(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
