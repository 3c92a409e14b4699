"""Readers of raw image files, each identified by the hash of its payload."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.files import CIFAR10_TEST, CIFAR10_TRAIN, PAYLOADS, load_payloads, sha256
from bench.errors import InputError

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
    payloads = load_payloads(dataset)
    hashes = PAYLOADS[dataset].copy()  # those of the payloads, as each was checked
    if dataset == "cifar10":
        batches = {name: parse_cifar10(payload, name) for name, payload in payloads.items()}
        whole = [
            np.concatenate([batches[name] for name in names])
            for names in (CIFAR10_TRAIN, CIFAR10_TEST)
        ]
        return RawImages(whole[0], whole[1], 256, hashes)
    if dataset == "mnist_larochelle":
        splits = [
            np.frombuffer(payload, np.uint8).reshape(-1, 1, 28, 28) for payload in payloads.values()
        ]
        # Training and validation images one behind the other, as in MNIST's training file.
        return RawImages(np.concatenate(splits[:2]), splits[2], 2, hashes)
    arrays = [parse_idx(payload, name) for name, payload in payloads.items()]
    return RawImages(arrays[0], arrays[1], 256, hashes)


def load_digits() -> RawImages:
    """Load scikit-learn's 8 × 8 digits, values 0…16, from its installed wheel."""
    # scikit-learn has no types.
    from sklearn.datasets import load_digits as sklearn_digits

    images = sklearn_digits().images.astype(np.uint8)[:, None]
    return RawImages(images, None, 17, {"digits": sha256(images.tobytes())})
