"""The interface between an engine and its callers: jobs, their outcome, and the engine's errors."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from bench.configuration.job import Job
from bench.errors import InputError
from bench.records.types import Record
from bench.settings import Progress
from bench.system.devices import Reserved


@dataclass(frozen=True)
class Assigned:
    """What a job gets where it is done.

    Attributes:
        gpus: The GPUs that are reserved for it.
        progress: Called with its progress.
    """

    gpus: Reserved
    progress: Progress


# A function that does a job. Jobs and results differ between callers: for `execute` they are a Job
# and a Record.
WorkerFunction = Callable[[Any, Assigned], Any]


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


def execute(job: Job, assigned: Assigned) -> Record:
    """Do a run."""
    from bench.runs.run import run

    return run(job, assigned.progress, assigned.gpus)


def failed_with(key: str, error: Exception) -> Finished:
    """Return the outcome of a job that raised an error: it must not end the others."""
    name = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
    return Finished(key, None, name + " ".join(str(error).split())[:300])


def reporter(key: str, write: Callable[[str, str, float, str], object]) -> Progress:
    """Return a callback that calls ``write`` with a job's key and progress, at most once a second."""
    last = 0.0

    def report(phase: str, share: float, text: str) -> None:
        nonlocal last
        if time.monotonic() - last > 1.0:
            last = time.monotonic()
            write(key, phase, share, text)

    return report
