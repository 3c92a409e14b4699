"""Timing of other people's code in a separate process, whose memory is managed as usual."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import get_context

import torch

from bench.instruments.perf.interleaved import Work, seconds


@contextmanager
def separate_process() -> Iterator[Callable[..., float]]:
    """Start a process and yield a function that times ``prepare(*arguments)()`` in it, in seconds.

    The process keeps the work that ``prepare`` returns for the next call. It does not change the
    memory allocator (``bench.system.memory``), because other people's code runs without that.
    """
    with get_context("spawn").Pool(1) as pool:
        yield lambda prepare, *arguments: pool.apply(timed, (prepare, *arguments))


def timed(prepare: Callable[..., Work], *arguments: Hashable) -> float:
    torch.set_num_threads(1)
    return seconds(prepared(prepare, *arguments))


@lru_cache(maxsize=1)
def prepared(prepare: Callable[..., Work], *arguments: Hashable) -> Work:
    work = prepare(*arguments)
    work()
    return work
