"""A folder of results: whether it can be written to, and by which driver."""

import fcntl
import os
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

from bench.errors import InputError
from bench.records.manifest import manifest_path
from bench.records.record import record_path, write_record
from bench.runs.log import NAME as LOG
from bench.sweep.progress import STATUS
from bench.sweep.single import MANIFEST_LOCK, RUN_LOCK
from bench.sweep.status import LOCK
from bench.system.files import open_own, refuse_strange, write_atomically
from bench.system.files import refuse_unwritable as refuse_unwritable_files


def refuse_unwritable(directory: Path, keys: Iterable[str] = ()) -> None:
    """Make a folder of results, and refuse what could not be written to it later.

    Args:
        directory: The folder.
        keys: Of runs that are about to be done.

    Raises:
        InputError: Nothing can be written to it; or a folder, a FIFO or the like has the name of a
            file to write; or a link that of one to lock or append to.
    """
    from bench.training.checkpoints import BEST, LAST

    runs = directory / "runs"
    replaced = [manifest_path(directory), directory / STATUS, record_path(runs, "KEY")]
    extended = [directory / LOCK, directory / MANIFEST_LOCK]
    for key in keys:
        replaced += [record_path(runs, key), runs / key / LAST, runs / key / BEST]
        extended += [runs / key / RUN_LOCK, runs / key / LOG]
    refuse_unwritable_files(replaced, "results")
    for path in extended:
        refuse_strange(path)
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
    with open_own(directory / LOCK) as lock:
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
