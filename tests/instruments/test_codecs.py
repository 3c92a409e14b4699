import io

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.tasks import Task, TaskData
from bench.errors import InputError
from bench.instruments.codecs import codec_rows, codecs, measure, png_header, strips


def task_data(images: np.ndarray, dataset="mnist", binarization="none") -> TaskData:
    n, *shape = images.shape
    flat = torch.from_numpy(images.reshape(n, -1))
    return TaskData(Task(dataset, binarization), tuple(shape), flat, flat, flat, None, {}, "")


NOISE = np.random.default_rng(0).integers(0, 256, (60, 28, 28), np.uint8)


@pytest.mark.parametrize("name", codecs())
def test_noise_costs_its_entropy_and_constants_almost_nothing(name):
    """No code of uniformly random bytes is shorter than they are, in expectation."""
    _, bare = measure(codecs()[name], strips(NOISE, None))
    assert 8.0 <= 8 * bare / NOISE.size < 8.7
    _, bare = measure(codecs()[name], strips(np.full_like(NOISE, 7), None))
    assert 8 * bare / NOISE.size < 0.05


def test_headers_of_png_are_everything_but_the_stream():
    """Of an image of one pixel: a filter byte and its value, deflated, are all that is left."""
    stream = io.BytesIO()
    Image.fromarray(np.full((1, 1), 3, np.uint8)).save(stream, "PNG", optimize=True)
    assert len(stream.getvalue()) - png_header(stream.getvalue()) == 2 + 4 + 4  # + zlib's frame


def test_strips_hold_every_image_once():
    pieces = list(strips(NOISE, 28 * 25 + 3))
    assert [len(piece) for piece in pieces] == [700, 700, 280]
    np.testing.assert_array_equal(np.concatenate(pieces).reshape(NOISE.shape), NOISE)


def test_rows_of_grey_and_of_colour():
    shares = []
    progress = lambda share, text: shares.append(share)
    described = {"payload_sha256": {}, "split_sha256": ""}
    grey = codec_rows(task_data(NOISE[:3, None]), described, progress)
    assert len(grey) == 5 * 2 * 2 and (grey["bits_per_dim"] >= 8).all()
    # Five codecs, each with three images and one strip.
    assert (
        len(shares) == 5 * (3 + 1) and shares == sorted(shares) and 0 == shares[0] < shares[-1] < 1
    )
    colour = np.random.default_rng(1).integers(0, 256, (2, 3, 32, 32), np.uint8)
    table = codec_rows(task_data(colour, "cifar10"), described, progress)
    assert set(table["n"]) == {2} and (table["bits_per_dim"] >= 8).all()
    with pytest.raises(InputError, match="17 levels, codecs are for 256 and 2"):
        codec_rows(task_data(NOISE[:3, None] % 17, "digits"), described, progress)


def test_random_binary_images_cost_a_bit_for_each_pixel():
    described = {"payload_sha256": {}, "split_sha256": ""}
    data = task_data(NOISE[:3, None] % 2, "mnist", "static")
    table = codec_rows(data, described, lambda share, text: None)
    bare = table[(table["headers"] == "without") & (table["layout"] == "strip")]
    bits = bare.set_index("codec")["bits_per_dim"]
    assert (bits >= 1).all() and (bits < 1.5).all() and (bits[["deflate", "LZMA"]] < 1.1).all()
