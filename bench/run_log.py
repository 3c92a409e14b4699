"""A run's own log: what it did when, its warnings, and the traceback where it failed."""

import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

NAME = "log.txt"
PROGRESS_SECONDS = 5.0


class RunLog:
    """Appends lines to ``log.txt`` in a run's folder; warnings go there while it is open.

    A line that cannot be written is lost: a log is no reason to end a run.

    Raises:
        OSError: The folder cannot be made, or the file not be opened.
    """

    def __init__(self, directory: Path):
        directory.mkdir(parents=True, exist_ok=True)
        self.file = open(directory / NAME, "a", encoding="utf-8")
        self.shown = 0.0

    def __enter__(self) -> "RunLog":
        self.caught = warnings.catch_warnings()
        self.caught.__enter__()
        warnings.showwarning = lambda message, category, *_: self.write(
            f"{category.__name__}: {message}"
        )
        self.write("started")
        return self

    def __exit__(self, *_) -> None:
        self.caught.__exit__(None, None, None)
        self.file.close()

    def write(self, line: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        try:
            self.file.write(f"{stamp}Z  {line}\n")
            self.file.flush()
        except OSError:
            pass

    def write_traceback(self) -> None:
        self.write(traceback.format_exc())

    def following(self, report: Callable) -> Callable:
        """Return ``report``, which also writes a line every few seconds."""

        def both(phase: str, share: float, text: str) -> None:
            report(phase, share, text)
            if time.monotonic() - self.shown > PROGRESS_SECONDS or share == 1:
                self.shown = time.monotonic()
                self.write(f"{phase} {share:4.0%}  {text}")

        return both
