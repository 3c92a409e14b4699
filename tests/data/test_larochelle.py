"""MNIST in the published binary draw: its two forms, damaged ones, and the real one."""

import io
import random
import zipfile

import numpy as np
import pytest

from bench.data import files
from bench.data.images import load_raw
from bench.data.tasks import Task, load_task
from bench.errors import InputError
from tests.larochelle import PIXELS, npz_of, text_of
from tests.limits import limited


def test_text_and_packed_files_are_read_as_the_same_images(larochelle):
    for split, pixels in PIXELS.items():
        (larochelle / f"binarized_mnist_{split}.amat").write_bytes(text_of(pixels))
    text = load_raw("mnist_larochelle")
    (larochelle / files.LAROCHELLE_PACKED).write_bytes(npz_of(PIXELS))
    for split in PIXELS:
        (larochelle / f"binarized_mnist_{split}.amat").unlink()
    packed = load_raw("mnist_larochelle")
    assert text.levels == 2 and text.test.shape == (3, 1, 28, 28)
    assert np.array_equal(text.train.reshape(6, 784), [*PIXELS["train"], *PIXELS["valid"]])
    assert np.array_equal(text.train, packed.train) and np.array_equal(text.test, packed.test)
    assert text.payloads == packed.payloads == files.PAYLOADS["mnist_larochelle"]


def test_missing_files_and_other_images_are_told(larochelle):
    with pytest.raises(InputError, match="run `bench data mnist_larochelle`, or set BENCH_DATA"):
        load_raw("mnist_larochelle")
    other = PIXELS | {"test": 1 - PIXELS["test"]}
    (larochelle / files.LAROCHELLE_PACKED).write_bytes(npz_of(other))
    with pytest.raises(InputError, match="not mnist_larochelle's binarized_mnist_test.amat: .*SHA"):
        load_raw("mnist_larochelle")
    (larochelle / files.LAROCHELLE_PACKED).write_bytes(npz_of({"train": PIXELS["train"]}))
    with pytest.raises(InputError, match="no .npz file of train, valid, test: .*valid.npy"):
        load_raw("mnist_larochelle")


def test_hostile_packed_files_are_refused_each_in_a_line(larochelle):
    path, rng = larochelle / files.LAROCHELLE_PACKED, random.Random(5)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.npy", bytes(2**20))
    contents = [b"", b"PK", bytes(10_000), bomb.getvalue()]
    good = npz_of(PIXELS)
    for _ in range(100):
        damaged = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 5])):
            damaged[rng.randrange(len(good))] = rng.randrange(256)
        contents.append(bytes(damaged[: rng.choice([len(good), rng.randrange(len(good))])]))
    read = 0
    for content in contents:
        path.write_bytes(content)
        try:
            with limited(seconds=10, mebibytes=64):
                assert load_raw("mnist_larochelle").test.tobytes() == PIXELS["test"].tobytes()
            read += 1
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)
    assert 0 < read < 50  # some bytes, like times, matter to nobody


@pytest.mark.parametrize("binarization", ["static", "dynamic", "threshold"])
def test_no_binarization_of_what_is_binary(binarization):
    with pytest.raises(InputError, match="binary as published; take none"):
        Task("mnist_larochelle", binarization)


@pytest.mark.skipif(
    not (files.found_in("mnist_larochelle") and files.found_in("mnist")),
    reason="Larochelle's files of MNIST, or MNIST, are not here: `bench data mnist_larochelle`",
)
def test_the_published_images_are_binarizations_of_mnists():
    """An image of the test split lights no pixel that is black in its MNIST image, and all white ones."""
    data = load_task(Task("mnist_larochelle"))
    assert [len(data.split(name)) for name in ("train", "validation", "test")] == [
        50_000,
        10_000,
        10_000,
    ]
    binary = data.test[:100].float()
    grey = load_task(Task("mnist")).test
    impossible = binary @ (grey == 0).float().T + (1 - binary) @ (grey == 255).float().T
    possible = (impossible == 0).sum(1)
    assert (possible >= 1).all() and (possible == 1).float().mean() > 0.5
