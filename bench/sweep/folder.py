"""The folder of a sweep: checked for writing, locked by one driver, and written to."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import InputError
from bench.records.manifest import manifest_path
from bench.records.record import record_path, write_record
from bench.records.types import Record
from bench.runs.log import NAME as LOG
from bench.sweep.progress import STATUS
from bench.sweep.single import MANIFEST_LOCK, RUN_LOCK
from bench.sweep.status import LOCK
from bench.system.files import open_own, refuse_strange, refuse_unwritable, write_atomically


def prepare_folder(directory: Path, keys: Iterable[str] = ()) -> None:
    """Make a sweep's folder, and check that its files can be written before any work is done.

    Args:
        directory: The folder.
        keys: Keys of the runs that are about to be done.

    Raises:
        InputError: The folder cannot be written; a folder, a FIFO or the like has the name of a
            file to write; or a link has the name of a file to lock or to append to.
    """
    from bench.training.checkpoints import BEST, LAST

    runs = directory / "runs"
    replaced = [manifest_path(directory), directory / STATUS, record_path(runs, "KEY")]
    extended = [directory / LOCK, directory / MANIFEST_LOCK]
    for key in keys:
        replaced += [record_path(runs, key), runs / key / LAST, runs / key / BEST]
        extended += [runs / key / RUN_LOCK, runs / key / LOG]
    refuse_unwritable(replaced, "results")
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
def locked(directory: Path) -> Iterator[None]:
    """Lock a sweep's folder against a second driver, which raises InputError instead of overwriting."""
    prepare_folder(directory)
    with open_own(directory / LOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"results: another sweep is writing to {directory}; wait for it"
            ) from None
        yield


def write_or_refuse(directory: Path, record: Record) -> None:
    """Write a record to a sweep's folder. Raises InputError if it cannot be written."""
    try:
        write_record(directory / "runs", record)
    except OSError as error:
        raise InputError(
            f"results: {directory} cannot be written: {error.strerror}; what is recorded is safe, "
            "and the same command resumes with the rest"
        ) from None
