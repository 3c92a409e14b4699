"""Limits of time and memory for work on hostile input."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.conftest import patience

MIB = 2**20


class LimitReached(BaseException):
    """Not an Exception, so that no handler of the code under test swallows it."""


@contextmanager
def limited(seconds: float = 10.0, mebibytes: int = 512) -> Iterator[None]:
    """Fail if the block takes longer (on an idle machine), or fills more memory than it did before.

    A request for far more than that fails at once, as on a machine that is full; what the block
    fills of its own is measured, because a handler in it may have caught that failure. For the
    main thread only.
    """

    def too_long(*_: object) -> None:
        raise LimitReached(f"took longer than {seconds} s")

    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    process = psutil.Process()
    before = max(peak(), process.memory_info().rss / MIB)
    resource.setrlimit(resource.RLIMIT_AS, (process.memory_info().vms + 2 * mebibytes * MIB, hard))
    previous = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, patience(seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    if peak() - before > mebibytes:
        raise LimitReached(f"filled {peak() - before:.0f} MiB more than before")
