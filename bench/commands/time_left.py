"""How far a long command is and when it will end, in plain lines, also where there is no terminal."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.commands.runs import print_progress
from bench.sweep.progress import PLAIN_LINE_SECONDS, duration


@contextmanager
def telling_time_left() -> Iterator[Callable[[str, float, str], None]]:
    """Yield a reporter of work whose shares are shares of the whole.

    It prints a line every ten seconds, also while a single piece of work takes longer. The work's
    own thread only notes how far it is: nothing is printed within what is measured.
    """
    told, started, ended = [("begins", 0.0, "")], time.monotonic(), threading.Event()
    print_line = print_progress()

    def report(phase: str, share: float, text: str) -> None:
        told[0] = (phase, share, text)

    def print_lines() -> None:
        while not ended.wait(PLAIN_LINE_SECONDS):
            phase, share, text = told[0]
            left = (time.monotonic() - started) / share * (1 - share) if share > 0 else None
            print_line(phase, share, f"{text}, about {duration(left)} left" if left else text)

    thread = threading.Thread(target=print_lines, daemon=True)
    thread.start()
    try:
        yield report
    finally:
        ended.set()
        thread.join()
