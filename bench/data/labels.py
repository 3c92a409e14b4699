"""Class labels of test images, for pictures alone: no number of the benchmark depends on them."""

import struct

import torch
from torch import Tensor

from bench.data.files import CIFAR10_TEST, find_file, load_payloads
from bench.data.own_task import OwnTask
from bench.data.payloads import read_payload
from bench.data.tasks import ArrayTask, Task, split_indices
from bench.errors import InputError

# Names of classes, where a number does not say them.
NAMES = {
    "fashion_mnist": (
        "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot",
    ),
    "cifar10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
}  # fmt: skip
LABEL_FILE = "t10k-labels-idx1-ubyte"


def labels_of_test(task: Task | OwnTask | ArrayTask) -> Tensor | None:
    """Return the class of each test image, (n,) int64; None where this machine has no labels.

    scikit-learn's digits and CIFAR-10 come with their labels. Those of MNIST and Fashion-MNIST are a
    file of their own, t10k-labels-idx1-ubyte, that is taken if it lies beside the images.
    """
    if not isinstance(task, Task):
        return None
    if task.dataset == "digits":
        from sklearn.datasets import load_digits

        target = torch.from_numpy(load_digits().target).long()
        return target[torch.from_numpy(split_indices("digits", len(target))["test"])]
    if task.dataset == "cifar10":
        [payload] = [load_payloads("cifar10")[name] for name in CIFAR10_TEST]
        return torch.frombuffer(bytearray(payload), dtype=torch.uint8)[:: 1 + 3 * 32 * 32].long()
    if task.dataset in ("mnist", "fashion_mnist"):
        return labels_beside_images(task.dataset)
    return None


def labels_beside_images(dataset: str) -> Tensor | None:
    """Return the labels in the folder of a dataset's test images; None if there are none.

    Raises:
        InputError: A file has the name but is none of 10,000 labels.
    """
    images = find_file(dataset, "t10k-images-idx3-ubyte")
    if images is None:
        return None
    for name in (LABEL_FILE, f"{LABEL_FILE}.gz"):
        path = images.parent / name
        if not path.is_file():
            continue
        try:
            payload = read_payload(path, 8 + 10_000, compressed=path.suffix == ".gz")
        except OSError as error:
            raise InputError(f"data: {path} is not a file of labels: {error}") from None
        labels = torch.frombuffer(bytearray(payload[8:]), dtype=torch.uint8).long()
        if struct.unpack(">II", payload[:8]) != (2049, 10_000) or labels.max() > 9:
            raise InputError(f"data: {path} is not an IDX file of 10,000 labels from 0 to 9")
        return labels
    return None


def names_of_classes(task: Task | OwnTask | ArrayTask) -> tuple[str, ...]:
    """Return the names of the ten classes; the digits themselves where they are digits."""
    digits = tuple(str(digit) for digit in range(10))
    return NAMES.get(task.dataset, digits) if isinstance(task, Task) else digits
