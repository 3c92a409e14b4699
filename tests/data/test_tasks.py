import gzip
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.data import files
from bench.data.images import load_raw, parse_cifar10, parse_idx
from bench.data.tasks import Task, draw_static, hash_splits, load_task, split_indices
from bench.errors import InputError
from bench.records.provenance import describe_data
from bench.records.row import data_hash, payload_hash


@pytest.mark.parametrize(
    "dataset, binarization, name, levels",
    [
        ("digits", "none", "digits-17", 17),
        ("digits", "threshold", "digits-binary", 2),
        ("mnist", "none", "mnist-256", 256),
        ("mnist", "dynamic", "mnist-dynamic", 2),
        ("mnist", "static", "mnist-static", 2),
        ("fashion_mnist", "none", "fashion-256", 256),
        ("fashion_mnist", "dynamic", "fashion-dynamic", 2),
        ("cifar10", "none", "cifar10-256", 256),
        ("mnist_larochelle", "none", "mnist-larochelle", 2),
    ],
)
def test_names_and_levels(dataset, binarization, name, levels):
    task = Task(dataset, binarization)
    assert (task.name, task.levels) == (name, levels)


@pytest.mark.parametrize(
    "options, complaint",
    [
        (("mnsit",), "data.dataset: 'mnsit' is unknown; known: digits, mnist"),
        (("digits", "half"), "data.binarization: 'half' is unknown; known: none, static"),
        (("digits", "none", 2.5), "data.leave_out_every: 2.5 is not a whole number"),
    ],
)
def test_a_task_that_there_is_not_is_refused(options, complaint):
    with pytest.raises(InputError, match=complaint):
        Task(*options)


def test_digits_against_scikit_learn():
    from sklearn.datasets import load_digits

    data = load_task(Task("digits"))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [1197, 300, 300]
    ours = np.concatenate([data.train, data.validation, data.test])
    theirs = load_digits().data.astype(np.uint8)
    assert sorted(map(bytes, ours)) == sorted(map(bytes, theirs))
    assert data.shape == (1, 8, 8) and data.dimensions == 64


def test_the_splits_are_the_published_ones():
    """A pinned hash: whoever changes a split makes another task."""
    assert load_task(Task("digits")).split_sha256 == DIGITS_SPLIT
    assert hash_splits(split_indices("mnist", 60_000)) == MNIST_SPLIT
    indices = split_indices("mnist", 60_000)
    assert [len(indices[name]) for name in ("train", "validation", "test")] == [
        50_000,
        10_000,
        10_000,
    ]
    assert indices["train"].max() < indices["validation"].min()


def test_static_draws_have_the_probability_of_the_grey_value():
    grey = np.repeat(np.arange(17, dtype=np.uint8), 40_000)
    drawn = draw_static(grey, 16, "a").reshape(17, -1).mean(1)
    expected = np.arange(17) / 16
    error = np.sqrt(expected * (1 - expected) / 40_000)
    assert np.all(np.abs(drawn - expected) <= 4.5 * error + 1e-4)
    assert np.array_equal(draw_static(grey, 16, "a"), draw_static(grey, 16, "a"))
    assert not np.array_equal(draw_static(grey, 16, "a"), draw_static(grey, 16, "b"))


def test_dynamic_keeps_grey_values_for_training_and_fixes_the_rest():
    data = load_task(Task("digits", "dynamic"))
    grey = load_task(Task("digits"))
    assert np.array_equal(data.intensities, grey.train)
    assert set(np.unique(data.test)) == {0, 1}
    assert load_task(Task("digits", "static")).test.equal(data.test)


@pytest.mark.parametrize(
    "binarization, images",
    [
        ("none", "af858dd3a7405e9c"),
        ("static", "237520d4b36995fb"),
        ("dynamic", "4d9468b195e111e8"),
        ("threshold", "e1fc01387be97f32"),
    ],
)
def test_the_images_seen_are_the_published_ones(binarization, images):
    """Another binary draw is another task, although payload and splits are the same."""
    data = load_task(Task("digits", binarization))
    assert data.images_sha256[:16] == images
    described = describe_data(data)
    assert data_hash(described) == data.images_sha256 != payload_hash(described)
    del described["images_sha256"]  # as in the first records
    assert data_hash(described) == payload_hash(described)
    assert payload_hash(described) == payload_hash(describe_data(load_task(Task("digits"))))


@pytest.mark.parametrize("split", ["train", "validation", "test", "intensities"])
def test_the_hash_of_the_images_changes_with_every_split(split):
    data = load_task(Task("digits", "dynamic"))
    other = getattr(data, split).clone()
    other[3, 5] ^= 1
    assert replace(data, **{split: other}).images_sha256 != data.images_sha256


def idx(array: np.ndarray) -> bytes:
    return struct.pack(">IIII", 2051, *array.shape) + array.tobytes()


def test_idx_reads_back():
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(parse_idx(idx(array), "x")[:, 0], array)


@pytest.mark.parametrize("damage", [lambda b: b[:10], lambda b: b[:-1], lambda b: b"\0" * len(b)])
def test_damaged_idx_is_refused(damage):
    with pytest.raises(InputError, match="not an IDX"):
        parse_idx(damage(idx(np.zeros((2, 3, 4), np.uint8))), "x")


def test_cifar10_reads_a_file_of_its_format(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    for name in (*files.CIFAR10_TRAIN, *files.CIFAR10_TEST):
        records = generator.integers(0, 256, (10, 3073), dtype=np.uint8)
        (tmp_path / name).write_bytes(records.tobytes())
        monkeypatch.setitem(files.SIZES, name, records.size)
        monkeypatch.setitem(files.PAYLOADS["cifar10"], name, files.sha256(records.tobytes()))
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    raw = load_raw("cifar10")
    assert raw.train.shape == (50, 3, 32, 32) and raw.test.shape == (10, 3, 32, 32)
    assert np.array_equal(raw.test, records[:, 1:].reshape(-1, 3, 32, 32))
    with pytest.raises(InputError, match="multiple of 3073"):
        parse_cifar10(b"123", "x")


def test_the_wrong_payload_is_refused_and_named(tmp_path, monkeypatch):
    folder = tmp_path / "mnist"
    folder.mkdir()
    payload = idx(np.zeros((60_000, 28, 28), np.uint8))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(payload, 1))
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    with pytest.raises(InputError, match="SHA-256.*the published one"):
        load_raw("mnist")


def test_missing_data_says_where_it_looked_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "named"))
    with pytest.raises(InputError) as error:
        load_raw("mnist")
    for part in ("named", "/usr/share/datasets/mnist", "cache", "make data", "BENCH_DATA"):
        assert part in str(error.value)


DIGITS_SPLIT = "1c341ba6163eb67680f17798cb41e22163aaa8610cd7fe981a2fa25946279789"
MNIST_SPLIT = "8e072bee75463c95c3bdfe3c507517830e1be75a8771fac1556e452182e15b5e"


def test_left_out_levels_are_gone_from_training_and_stay_in_the_test_images():
    whole, lacking = load_task(Task("digits")), load_task(Task("digits", leave_out_every=8))
    assert lacking.task.name == "digits-17-without-every-8"
    assert lacking.task.left_out_levels == [8]  # 16 is the brightest, and stays
    assert torch.equal(lacking.test, whole.test) and (whole.test == 8).any()
    for split in ("train", "validation"):
        before, after = whole.split(split), lacking.split(split)
        held = before == 8
        assert held.any() and not (after == 8).any()
        assert torch.equal(after[~held], before[~held])
        up = (after[held] == 9).float()
        assert torch.all((after[held] == 7) | (after[held] == 9))
        assert abs(up.mean() - 0.5) < 5 * 0.5 / len(up) ** 0.5


@pytest.mark.parametrize("every, binarization", [(1, "none"), (16, "none"), (4, "static")])
def test_leaving_out_what_cannot_be_left_out_is_refused(every, binarization):
    with pytest.raises(InputError, match="leave_out_every"):
        Task("digits", binarization, every)


def test_every_eighth_grey_value_of_256_levels():
    assert Task("mnist", leave_out_every=8).left_out_levels == list(range(8, 255, 8))
