"""Check that a Ray cluster answers before Ray connects: Ray waits for minutes, then ends the process."""

import os
import socket
import time
from importlib.util import find_spec

from bench.errors import InputError

SECONDS = 8.0
# The start of HTTP/2 and so of gRPC, Ray's protocol: the client's preface and empty settings.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
SETTINGS = 4


def refuse_no_ray() -> None:
    """Raise InputError if Ray is not installed."""
    if find_spec("ray") is None:
        raise InputError(
            "engine: Ray is not installed; `--workers 0` does the runs one after another without it"
        )


def refuse_no_cluster(address: str) -> None:
    """Raise InputError if no Ray cluster answers at an address, HOST:PORT or auto."""
    if address == "auto":
        from ray._private.services import canonicalize_bootstrap_address

        try:
            # The cluster that was started last on this machine; it may have been killed since.
            address = canonicalize_bootstrap_address(address) or address
        except (ConnectionError, ValueError):
            raise InputError("engine: no Ray cluster was started on this machine") from None
    if os.environ.get("RAY_USE_TLS", "0") == "0":
        refuse_unreachable(address)


def refuse_unreachable(address: str, seconds: float | None = None) -> None:
    """Wait until a gRPC server answers at ``host:port``, for at most ``seconds`` (None: 8).

    Raises:
        InputError: None answers, or the address is invalid.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"engine: no Ray cluster at {address}: an address is HOST:PORT, or auto")
    deadline = time.monotonic() + (SECONDS if seconds is None else seconds)
    while True:
        try:
            answers(host.strip("[]"), int(port), deadline)
            return
        except (OSError, UnicodeError) as error:
            # Both may have just been started: the cluster may come a moment later.
            if time.monotonic() + 0.5 > deadline or isinstance(
                error, (socket.gaierror, UnicodeError)
            ):
                reason = getattr(error, "strerror", None) or str(error)
                raise InputError(f"engine: no Ray cluster at {address}: {reason}") from None
        time.sleep(0.2)


def answers(host: str, port: int, deadline: float) -> None:
    """Raise OSError unless a gRPC server answers before the deadline."""
    left = max(deadline - time.monotonic(), 0.1)
    with socket.create_connection((host, port), timeout=left) as connection:
        connection.sendall(PREFACE)
        header = b""
        while len(header) < 9:
            connection.settimeout(max(deadline - time.monotonic(), 0.1))
            part = connection.recv(9 - len(header))
            if not part:
                raise OSError("the server there is not a Ray cluster")
            header += part
    if header[3] != SETTINGS:
        raise OSError("the server there is not a Ray cluster")
