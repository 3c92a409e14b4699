"""Made-up files of MNIST in Larochelle's binarization: nine images."""

import io

import numpy as np

COUNTS = {"train": 4, "valid": 2, "test": 3}
PIXELS = {
    split: np.random.default_rng(n).integers(0, 2, (n, 784), np.uint8)
    for split, n in COUNTS.items()
}


def text_of(pixels: np.ndarray) -> bytes:
    return "".join(" ".join(map(str, row)) + "\n" for row in pixels).encode()


def npz_of(pixels: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **{name: np.packbits(y, axis=1) for name, y in pixels.items()})
    return file.getvalue()
