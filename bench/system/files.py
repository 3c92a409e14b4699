"""Files that others may have made: none that never ends is read, and none is written by a link."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from bench.errors import InputError

MIB = 2**20


@contextmanager
def regular_file(path: Path | str) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Raises:
        OSError: It is a folder, FIFO, socket or device, of which some would block for ever, or
            cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # no name of a file, say with a null byte
        raise OSError(str(error)) from None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is no regular file")
        yield file


def size_of(file: BinaryIO) -> int:
    """Return the length of an open regular file in bytes."""
    return os.fstat(file.fileno()).st_size


def read_bytes(path: Path, limit: int) -> bytes:
    """Return what a regular file of at most ``limit`` bytes holds.

    Raises:
        OSError: It cannot be read, is longer, or is no regular file.
    """
    with regular_file(path) as file:
        if size_of(file) > limit:
            raise OSError(f"it is longer than {limit // MIB} MiB")
        return file.read(limit)


def read_text(path: Path, limit: int) -> str:
    """Return a regular file's text in UTF-8. Raises OSError as ``read_bytes``, or ValueError."""
    return read_bytes(path, limit).decode("utf-8")


def is_there(path: Path) -> bool:
    """Tell whether anything has this name, readable or not."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass  # what it is cannot be seen, and who reads it says why
    return True


def refuse_strange(path: Path) -> None:
    """Raise InputError if a link, a folder, a FIFO or a device has this name."""
    if is_there(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise InputError(f"results: {path} is no regular file; move it away")


def open_own(path: Path) -> TextIO:
    """Open a file to be locked or appended to. It is made if missing, and what it holds stays.

    Raises:
        InputError: It is a link, which may lead to anybody's file, a folder, a FIFO or a device; or
            it cannot be opened.
    """
    refuse_strange(path)
    # It may have become a link or a FIFO since.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = open(os.open(path, flags, 0o666), "a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"results: {path} cannot be written: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InputError(f"results: {path} is no regular file; move it away")
    return file


def refuse_unwritable(paths: list[Path], what: str) -> None:
    """Refuse to begin where one of these files could not be written.

    Raises:
        InputError: Its folder cannot be written, or is none; or a folder, a FIFO or the like has
            its name.
    """
    for folder in dict.fromkeys(path.parent for path in paths):
        existing = next(one for one in [folder, *folder.parents] if is_there(one))
        if not existing.is_dir():
            raise InputError(f"{what}: {existing} is no folder; move it away")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise InputError(f"{what}: {existing} cannot be written")
    for path in paths:
        if is_there(path) and not path.is_file():
            raise InputError(f"{what}: {path} is no regular file; move it away")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write by rename, so that a reader sees the whole file or none, and a kill loses nothing.

    Text is written as UTF-8, its line ends as they are.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.unlink(missing_ok=True)
        with open(partial, "xb") as file:  # through no link
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
