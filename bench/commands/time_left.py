"""Progress of a long command and the time left, in plain lines, with or without a terminal."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.commands.runs import print_progress
from bench.settings import Progress
from bench.sweep.progress import PLAIN_LINE_SECONDS, duration


@contextmanager
def telling_time_left() -> Iterator[Progress]:
    """Yield a callback that takes shares of the whole command.

    A thread prints a line every ten seconds, also while a single piece of work takes longer. The
    callback only stores its arguments, so that no measurement includes printing.
    """
    latest, started, ended = [("starting", 0.0, "")], time.monotonic(), threading.Event()
    print_line = print_progress()

    def report(phase: str, share: float, text: str) -> None:
        latest[0] = (phase, share, text)

    def print_lines() -> None:
        while not ended.wait(PLAIN_LINE_SECONDS):
            phase, share, text = latest[0]
            left = (time.monotonic() - started) / share * (1 - share) if share > 0 else None
            print_line(phase, share, f"{text}, about {duration(left)} left" if left else text)

    thread = threading.Thread(target=print_lines, daemon=True)
    thread.start()
    try:
        yield report
    finally:
        ended.set()
        thread.join()
