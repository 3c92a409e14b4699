"""The interface between an engine and its callers: jobs, their outcome, and the engine's errors."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from bench.configuration.job import Job
from bench.errors import InputError
from bench.records.types import Record
from bench.settings import Progress
from bench.sweep.resources import Request
from bench.system.devices import Reserved


@dataclass(frozen=True)
class Assigned:
    """What a job gets where it is done.

    Attributes:
        gpus: The GPUs that are reserved for it.
        write: Called with the key of a job and its progress.
    """

    gpus: Reserved
    write: Callable[[str, str, float, str], object]

    def progress_of(self, key: str) -> Progress:
        """Return a callback that calls ``write`` with a job's progress, at most once a second."""
        last = 0.0

        def report(phase: str, share: float, text: str) -> None:
            nonlocal last
            if time.monotonic() - last > 1.0:
                last = time.monotonic()
                self.write(key, phase, share, text)

        return report


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


@dataclass(frozen=True)
class Stack:
    """Jobs that a worker does together. What they return is a list.

    Attributes:
        jobs: The jobs, one or more.
    """

    jobs: tuple[Any, ...]

    @property
    def key(self) -> str:
        first: str = self.jobs[0].key
        return f"{first} and {len(self.jobs) - 1} more"

    def parts(self, finished: Finished) -> Iterator[Finished]:
        """Yield the outcome of each job, given that of all."""
        records = finished.record or [None] * len(self.jobs)
        for job, record in zip(self.jobs, records, strict=True):
            yield Finished(job.key, record, finished.reason)


JobT = TypeVar("JobT", bound=Keyed)


def each_alone(jobs: Sequence[JobT], has_gpus: bool, slots: int) -> list[JobT | Stack]:
    return list(jobs)


@dataclass(frozen=True)
class Work(Generic[JobT]):
    """What a driver does with its jobs.

    Attributes:
        request: Returns the resources of a job, given the job and whether there are GPUs.
        settle: Called in the driver with each finished job: writes its result, and calls
            ``SweepProgress.finish``.
        execute: The function that a worker calls, see `Engine.map`; None trains and evaluates.
        grouped: Puts jobs together that one worker is to do, given whether there are GPUs and how
            many jobs fit at once.
    """

    request: Callable[[JobT, bool], Request]
    settle: Callable[[Finished], None]
    execute: WorkerFunction | None = None
    grouped: Callable[[Sequence[JobT], bool, int], list[JobT | Stack]] = each_alone


def execute(job: Job | Stack, assigned: Assigned) -> Record | list[Record]:
    """Do a run, or runs that train together."""
    from bench.runs.run import run
    from bench.runs.stack import run_stack

    if isinstance(job, Stack):
        return run_stack(job.jobs, assigned.progress_of, assigned.gpus)
    return run(job, assigned.progress_of(job.key), assigned.gpus)


def failed_with(key: str, error: Exception) -> Finished:
    """Return the outcome of a job that raised an error: it must not end the others."""
    name = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
    return Finished(key, None, name + " ".join(str(error).split())[:300])
