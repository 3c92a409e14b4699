"""Small data sets in the place of large ones, and a mirror of them on this machine."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.data import fetch as fetching
from bench.data import files
from tests.larochelle import PIXELS


@pytest.fixture
def larochelle(tmp_path, monkeypatch):
    """A folder for the files of nine images, under BENCH_DATA."""
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no cache"))
    for split, pixels in PIXELS.items():
        name = f"binarized_mnist_{split}.amat"
        monkeypatch.setitem(files.LAROCHELLE_SPLITS, split, len(pixels))
        monkeypatch.setitem(files.SIZES, name, 2 * pixels.size)
        digest = files.sha256(pixels.tobytes())
        monkeypatch.setitem(files.PAYLOADS["mnist_larochelle"], name, digest)
    return tmp_path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder that is served as the only mirror of every dataset; no data is on the machine."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "DEBIAN_DATASETS", tmp_path / "nothing")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=partial(server.serve_forever, 0.01), daemon=True).start()
    for dataset in fetching.MIRRORS:
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setitem(fetching.MIRRORS, dataset, [address])
    yield folder
    server.shutdown()
    server.server_close()
