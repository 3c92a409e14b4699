"""A folder of results: whether it can be written to, and by which driver."""

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path

from bench.errors import InputError
from bench.record import write_atomically, write_record
from bench.sweep.status import LOCK


def refuse_unwritable(directory: Path) -> None:
    """Make a folder of results. Raises InputError if nothing can be written to it."""
    probe = directory / f".driver.probe.{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(probe, "")
        probe.unlink()
    except OSError as error:
        raise InputError(f"results: {directory} cannot be written: {error.strerror}") from None


@contextmanager
def locked(directory: Path):
    """Hold the sweep's folder, so that a second driver refuses instead of overwriting."""
    refuse_unwritable(directory)
    with open(directory / LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"results: another sweep is writing to {directory}; wait for it"
            ) from None
        yield


def write_or_refuse(directory: Path, record: dict) -> None:
    """Write a record under a folder of results. Raises InputError if it cannot be."""
    try:
        write_record(directory / "runs", record)
    except OSError as error:
        raise InputError(
            f"results: {directory} cannot be written: {error.strerror}; what is recorded is safe, "
            "and the same command goes on with the rest"
        ) from None
