"""Safe access to foreign files: no endless file is read, and no link is written through."""

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
        OSError: It cannot be opened, or is a folder, FIFO, socket or device; reading some of
            these would block for ever.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # an invalid file name, say with a null byte
        raise OSError(str(error)) from None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a regular file")
        yield file


def size_of(file: BinaryIO) -> int:
    """Return the length of an open regular file in bytes."""
    return os.fstat(file.fileno()).st_size


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Raises:
        OSError: It cannot be read, is longer, or is not a regular file.
    """
    with regular_file(path) as file:
        if size_of(file) > limit:
            raise OSError(f"it is longer than {limit // MIB} MiB")
        return file.read(limit)


def read_text(path: Path, limit: int) -> str:
    """Return the text of a UTF-8 file. Raises OSError as ``read_bytes``, or ValueError."""
    return read_bytes(path, limit).decode("utf-8")


def is_there(path: Path) -> bool:
    """Return whether anything has this name, readable or not."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass  # it cannot be inspected; reading it will say why
    return True


def refuse_strange(path: Path) -> None:
    """Raise InputError if a link, a folder, a FIFO or a device has this name."""
    if is_there(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise not_regular("results", path)


def not_regular(what: str, path: Path) -> InputError:
    return InputError(f"{what}: {path} is not a regular file; move it away")


def open_own(path: Path) -> TextIO:
    """Open a file to lock it or append to it. It is created if missing; its content stays.

    Raises:
        InputError: It cannot be opened, or is a folder, a FIFO, a device or a link, which may lead
            to another user's file.
    """
    refuse_strange(path)
    # It may have become a link or a FIFO since the check.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = open(os.open(path, flags, 0o666), "a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"results: {path} cannot be written: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise not_regular("results", path)
    return file


def refuse_unwritable(paths: list[Path], what: str) -> None:
    """Check that these files can be written, before any work begins.

    Raises:
        InputError: The folder of one is not a folder or not writable, or its name belongs to a
            folder, a FIFO or the like. The message starts with ``what``.
    """
    for folder in dict.fromkeys(path.parent for path in paths):
        existing = next(one for one in [folder, *folder.parents] if is_there(one))
        if not existing.is_dir():
            raise InputError(f"{what}: {existing} is not a folder; move it away")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise InputError(f"{what}: {existing} cannot be written")
    for path in paths:
        if is_there(path) and not path.is_file():
            raise not_regular(what, path)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file by rename: readers see the old or the new file, even if the process is killed.

    Text is written as UTF-8 with its line ends unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.unlink(missing_ok=True)
        with open(partial, "xb") as file:  # fails if the name is a link
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
