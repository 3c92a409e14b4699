"""Work of others in a process of its own, whose memory is managed as any user's is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import get_context

import torch

from bench.instruments.perf.interleaved import seconds


@contextmanager
def elsewhere() -> Iterator[Callable[..., float]]:
    """Start a process; what comes back does ``prepare(*arguments)()`` there, returns its seconds.

    What ``prepare`` returns is kept for the next call. The setting of `bench.system.memory`, which speeds
    up whatever allocates, is not made there: others do without it.
    """
    with get_context("spawn").Pool(1) as pool:
        yield lambda prepare, *arguments: pool.apply(timed, (prepare, *arguments))


def timed(prepare: Callable, *arguments) -> float:
    torch.set_num_threads(1)
    return seconds(prepared(prepare, *arguments))


@lru_cache(maxsize=1)
def prepared(prepare: Callable, *arguments) -> Callable[[], object]:
    work = prepare(*arguments)
    work()
    return work
