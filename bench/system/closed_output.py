"""Output streams that let a command finish after its output was closed."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

# Errors of a pipe without a reader and of a closed terminal: nobody misses the lost output.
READER_GONE = (errno.EPIPE, errno.EIO)


class LenientStream:
    """An output stream that drops all output after the first failed write."""

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError as error:
            self._drop_rest(error)
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._drop_rest(error)

    def _drop_rest(self, error: OSError) -> None:
        self.error = error
        # The stream writes its buffer to this descriptor later, at the latest when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())

    def explanation(self) -> str | None:
        """Return why output was lost; None if nothing was, or only because the reader is gone."""
        if self.error is None or self.error.errno in READER_GONE:
            return None
        return self.error.strerror


@contextmanager
def lenient_output() -> Iterator[LenientStream]:
    """Let standard output and standard error drop what they cannot write.

    Yields:
        Standard output.
    """
    before = sys.stdout, sys.stderr
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            # It was closed before Python started, so the next opened file would get its number.
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))
    out, err = LenientStream(sys.stdout), LenientStream(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)  # __getattr__ has the rest of it
    try:
        yield out
    finally:
        for stream in (out, err):
            stream.flush()
        sys.stdout, sys.stderr = before
