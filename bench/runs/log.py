"""A run's own log: what it did and when, its warnings, and the traceback of a failure."""

import fcntl
import time
import traceback
import warnings
from pathlib import Path

from bench.errors import InputError
from bench.settings import Progress
from bench.system.files import open_own

NAME = "log.txt"
PROGRESS_SECONDS = 5.0
LOCK_SECONDS = 60.0


class RunLog:
    """Appends lines to ``log.txt`` in a run's folder; warnings go there while it is open.

    A line that cannot be written is lost, because a log must not end a run. While the log is open, no
    other process can do the run: a worker may outlive its killed driver by a moment, and its
    checkpoints must not mix with those of the worker that resumes the run.

    Raises:
        OSError: The folder cannot be made.
        InputError: The file cannot be opened, or was not made by this class; or another process
            does the run and does not end.
    """

    def __init__(self, directory: Path):
        directory.mkdir(parents=True, exist_ok=True)
        self.file = open_own(directory / NAME)
        self.shown = 0.0
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self.file.close()
                    raise InputError(f"{directory}: another process does this run") from None
                time.sleep(0.2)

    def __enter__(self) -> "RunLog":
        self.caught = warnings.catch_warnings()
        self.caught.__enter__()
        warnings.showwarning = lambda message, category, *_: self.write(
            f"{category.__name__}: {message}"
        )
        self.write("started")
        return self

    def __exit__(self, *_: object) -> None:
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

    def following(self, progress: Progress) -> Progress:
        """Return a callback that calls ``progress`` and writes a line every few seconds."""

        def both(phase: str, share: float, text: str) -> None:
            progress(phase, share, text)
            if time.monotonic() - self.shown > PROGRESS_SECONDS or share == 1:
                self.shown = time.monotonic()
                self.write(f"{phase} {share:4.0%}  {text}")

        return both
