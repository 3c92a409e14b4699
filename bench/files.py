"""Reading files that others may have put there: none that blocks or never ends."""

import errno
import os
import stat
from pathlib import Path

from bench.errors import InputError

MIB = 2**20


def read_bytes(path: Path, limit: int) -> bytes:
    """Return what a regular file holds.

    Args:
        path: The file.
        limit: The most bytes that it may have.

    Raises:
        OSError: It cannot be read, is longer, or is a folder, FIFO, socket or device, of which some
            would block for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        if found.st_size > limit:
            raise OSError(errno.EFBIG, f"is longer than {limit // MIB} MiB", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(descriptor)


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
