"""A command goes on to its end though nobody can read what it prints."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

# A pipe whose reader has gone, and a terminal that was closed: nobody misses what is lost.
LEFT = (errno.EPIPE, errno.EIO)


class Unread:
    """An output stream that drops what it is given from the first failure on."""

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str):
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError as error:
            self._drop_the_rest(error)
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._drop_the_rest(error)

    def _drop_the_rest(self, error: OSError) -> None:
        self.error = error
        # What is buffered still goes to the descriptor, at the latest when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())

    def explanation(self) -> str | None:
        """Return why the output is not whole, if its reader did not want it so."""
        is_missed = self.error is not None and self.error.errno not in LEFT
        return self.error.strerror if is_missed else None


@contextmanager
def unread() -> Iterator[Unread]:
    """Let standard output and standard error drop what they cannot get rid of.

    Yields:
        Standard output.
    """
    before = sys.stdout, sys.stderr
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            # Closed before we began; else the next file that is opened would be taken for it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))
        setattr(sys, name, Unread(getattr(sys, name)))
    out, err = sys.stdout, sys.stderr
    try:
        yield out
    finally:
        for stream in (out, err):
            stream.flush()
        sys.stdout, sys.stderr = before
