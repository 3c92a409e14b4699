"""Data files from strangers, damaged ones, and those that would fill the memory or never end."""

import gzip
import hashlib
import os
import random
import struct

import pytest

from bench.__main__ import main
from bench.data import files
from bench.data.fetch import install
from bench.data.images import load_raw
from bench.errors import InputError
from tests.limits import limited

TRAIN, TEST = files.PAYLOADS["mnist"]
PAYLOAD = struct.pack(">IIII", 2051, 10, 28, 28) + random.Random(0).randbytes(10 * 28 * 28)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for MNIST's files, under BENCH_DATA."""
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no cache"))
    (tmp_path / "mnist").mkdir()
    return tmp_path / "mnist"


@pytest.fixture
def small(folder, monkeypatch):
    """The same, where MNIST is ten images, so that a good file costs nothing."""
    digest = hashlib.sha256(PAYLOAD).hexdigest()
    monkeypatch.setitem(files.PAYLOADS, "mnist", {TRAIN: digest, TEST: digest})
    for name in (TRAIN, TEST):
        monkeypatch.setitem(files.SIZES, name, len(PAYLOAD))
    (folder / TEST).write_bytes(PAYLOAD)
    return folder


def refused(dataset="mnist"):
    with limited(seconds=60, mebibytes=400), pytest.raises(InputError) as error:
        load_raw(dataset)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_truncated_or_damaged_gz_says_to_remove_it_and_run_make_data(small):
    whole = gzip.compress(PAYLOAD)
    middle = len(whole) // 2
    for content in (whole[:middle], whole[:middle] + b"\xff" * 20 + whole[middle + 20 :], b"x"):
        (small / f"{TRAIN}.gz").write_bytes(content)
        message = refused()
        assert f"{small / TRAIN}.gz is not mnist's {TRAIN}: " in message
        assert message.endswith("; remove it, and run `make data`")
    assert main(["data", "mnist"]) == 2


def test_a_gzip_bomb_is_read_no_further_than_the_published_length(folder):
    member = gzip.compress(bytes(2**20))
    (folder / f"{TRAIN}.gz").write_bytes(member * 8192)  # 8 GiB in 8 MiB
    assert "its payload is longer, but should be 47,040,016 bytes" in refused()


def test_a_gzip_name_without_end_and_a_million_empty_members_take_no_time(folder):
    nameless = b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 47_000_000
    empty = gzip.compress(b"") * 2_350_000
    for content, reason in ((nameless, "is truncated"), (empty, "more than 1000 gzip members")):
        (folder / f"{TRAIN}.gz").write_bytes(content)
        with limited(seconds=5, mebibytes=400):
            assert reason in refused()


def test_a_gz_of_several_members_with_zeros_behind_is_read(small):
    members = [
        gzip.compress(PAYLOAD[start : start + 2000]) for start in range(0, len(PAYLOAD), 2000)
    ]
    (small / f"{TRAIN}.gz").write_bytes(b"".join(members[:3]) + b"\0" * 9 + b"".join(members[3:]))
    assert load_raw("mnist").train.tobytes() == PAYLOAD[16:]
    (small / f"{TRAIN}.gz").write_bytes(gzip.compress(PAYLOAD, 0) + bytes(500))
    assert load_raw("mnist").train.tobytes() == PAYLOAD[16:]


@pytest.mark.parametrize("name", [TRAIN, f"{TRAIN}.gz"])
def test_a_sparse_file_of_20_gigabytes_is_refused_by_its_length(name, folder):
    with open(folder / name, "wb") as file:
        file.truncate(20 * 2**30)
    assert "it is 21,474,836,480 bytes long" in refused()


def test_a_cifar10_file_with_too_few_rows_is_refused(folder, monkeypatch):
    for name in files.CIFAR10_TRAIN + files.CIFAR10_TEST:
        (folder.parent / name).write_bytes(bytes(3073 * 9))
    message = refused("cifar10")
    assert "data_batch_1.bin: its payload is only 27,657 bytes, but should be 30,730,000" in message
    assert message.endswith("remove it, and run `bench data cifar10`")


def test_a_folder_that_cannot_be_searched_is_named(folder, monkeypatch):
    original = type(folder).stat

    def stat(path, **options):
        if path.parent == folder:
            raise PermissionError(13, "Permission denied")
        return original(path, **options)

    monkeypatch.setattr(type(folder), "stat", stat)
    message = refused()
    assert f"cannot search {folder}" in message and "Permission denied" in message


@pytest.mark.parametrize("variable", ["BENCH_DATA", "XDG_CACHE_HOME"])
@pytest.mark.parametrize("value", ["a" * 300, "/".join(["a" * 200] * 40), "/etc/passwd", "\udcff"])
def test_folders_of_data_that_cannot_be(variable, value, folder, monkeypatch):
    monkeypatch.setenv(variable, value)
    refused()


def test_a_damaged_download_does_not_reach_the_cache(folder, tmp_path):
    page, target = tmp_path / files.CIFAR10_ARCHIVE, tmp_path / "cache"
    page.write_bytes(b"<html>")
    with pytest.raises(InputError, match="only 6 bytes"):
        install("cifar10", [page], target)
    assert not list(target.iterdir())


def put(path, rng):
    """Put something in the place of the file of ``PAYLOAD``."""
    kind = rng.choice(["bytes"] * 12 + ["pipe", "folder", "device", "loop", "sparse"])
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind in ("device", "loop"):
        path.symlink_to("/dev/zero" if kind == "device" else path)
    elif kind == "sparse":
        with open(path, "wb") as file:
            file.truncate(rng.randrange(2**20, 2**40))
    else:
        content = PAYLOAD
        for _ in range(rng.choice([1, 1, 2, 3])):
            content = rng.choice(DAMAGES)(content, rng)
        path.write_bytes(content)


def cut(content, rng):
    return content[: rng.randrange(len(content) + 1)]


def altered(content, rng):
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.randbytes(rng.randrange(1, 9)) + content[place + 4 :]


def repeated(content, rng):
    return content * rng.choice([2, 3, 2000 if len(content) < 20_000 else 2])


def bomb(content, rng):
    return gzip.compress(bytes(2 ** rng.randrange(1, 21))) * rng.randrange(1, 500)


def empty_members(content, rng):
    return content + gzip.compress(b"") * rng.randrange(1, 2000)


def padded(content, rng):
    return content + bytes(rng.choice([1, 512, 2**16]))


def compressed(content, rng):
    return gzip.compress(content, rng.randrange(10))


DAMAGES = [cut, altered, repeated, bomb, empty_members, padded, compressed, compressed, compressed]


def test_three_hundred_hostile_files_are_read_or_refused_each_in_a_line(small):
    rng, refusals = random.Random(27), 0
    for _ in range(300):
        path = small / rng.choice([TRAIN, f"{TRAIN}.gz", f"{TRAIN}.gz"])
        put(path, rng)
        try:
            with limited(seconds=60, mebibytes=64):
                assert load_raw("mnist").train.tobytes() == PAYLOAD[16:]
        except InputError as error:
            assert "\n" not in str(error) and str(path) in str(error)
            assert "run `make data`" in str(error) or "cannot search" in str(error)
            refusals += 1
        path.rmdir() if path.is_dir() else path.unlink()
    assert 200 < refusals < 300
