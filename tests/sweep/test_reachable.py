"""An address at which no Ray cluster answers is refused in seconds."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from bench.__main__ import main
from bench.errors import InputError
from bench.sweep.reachable import PREFACE, SETTINGS, refuse_unreachable
from tests.conftest import patience


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(patience(10))
        yield listening


def address_of(server):
    return f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def serving(server, *parts):
    """Read what every client begins with, and send it these bytes bit by bit."""

    def serve():
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, suppress(ConnectionError):
                    connection.recv(len(PREFACE))
                    for part in parts:
                        connection.sendall(part)
                        time.sleep(0.05)

    with ThreadPoolExecutor() as pool:
        pool.submit(serve)
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)  # which ends its waiting for a client


@pytest.mark.parametrize(
    "address", ["nonsense", "host:", "host:x", "127.0.0.1:99999", "", "http://[bad"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InputError, match="an address is HOST:PORT"):
        refuse_unreachable(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", f"{'x' * 300}:6379", "nowhere.invalid:6379"])
def test_an_address_of_nothing_is_refused(address):
    started = time.monotonic()
    with pytest.raises(InputError, match="no Ray cluster at .*: .+"):
        refuse_unreachable(address, seconds=0.6)
    assert time.monotonic() - started < patience(10)


def test_a_sweep_on_no_cluster_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bench.sweep.reachable.SECONDS", 0.3)
    sweep = tmp_path / "small.yaml"
    sweep.write_text('{"matrix": {"data": ["digits-17"], "model": ["gaussian_vae"]}}')
    words = ["sweep", str(sweep), "--results", str(tmp_path / "r"), "--wandb", "disabled"]
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert main(words) == 2
    assert "no Ray cluster at 127.0.0.1:1: Connection refused" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_a_server_that_is_silent_is_refused(server):
    with pytest.raises(InputError, match="timed out"):
        refuse_unreachable(address_of(server), seconds=0.4)


def test_a_server_of_something_else_is_refused(server):
    with serving(server, b"HTTP/1.1 400 Bad Request\r\n\r\n"):
        with pytest.raises(InputError, match="the server there is not a Ray cluster"):
            refuse_unreachable(address_of(server), seconds=patience(2))


def test_a_server_of_grpc_is_taken(server):
    header = bytes([0, 0, 6, SETTINGS, 0, 0, 0, 0, 0])
    with serving(server, header[:4], header[4:]):
        refuse_unreachable(address_of(server), seconds=patience(5))
