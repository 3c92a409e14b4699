"""The interface between an engine and its callers: jobs, their outcome, and the engine's errors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from bench.errors import InputError

# A worker's function, called with a job and the board. Jobs and results differ between callers: for
# `execute` they are a Job and a Record.
WorkerFunction = Callable[[Any, Any], Any]


class Keyed(Protocol):
    """Anything with a key that identifies it among the jobs of an engine."""

    @property
    def key(self) -> str: ...


class EngineLost(RuntimeError):
    """The cluster is gone, or this process' connection to it.

    Attributes:
        retries: How many times in a row an embedded engine is restarted after this error, if no job
            ends in between.
    """

    retries = 10


class EngineNotStarted(InputError, EngineLost):
    """No engine was started: one of its processes was killed, or Ray cannot run here."""

    retries = 2


@dataclass(frozen=True)
class Finished:
    """A job that ended.

    Attributes:
        key: The job's key.
        record: What ``work`` returned, for `execute` a Record; None if nothing came back.
        reason: Why nothing came back.
    """

    key: str
    record: Any
    reason: str = ""
