"""Files that others made: a named pipe would be waited for without end, a device read without end."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def regular_file(path: Path | str) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Raises:
        OSError: It is something else, or cannot be opened.
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
