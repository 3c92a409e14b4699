"""The interface between an engine and its callers: jobs, their outcome, and the engine's errors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from bench.errors import InputError
from bench.sweep.resources import Request

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


@dataclass(frozen=True)
class Together:
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


def each_alone(jobs: Sequence[JobT], has_gpus: bool) -> list[JobT | Together]:
    return list(jobs)


@dataclass(frozen=True)
class Work(Generic[JobT]):
    """What a driver does with its jobs.

    Attributes:
        request: Returns the resources of a job, given the job and whether there are GPUs.
        settle: Called in the driver with each finished job: writes its result, and calls
            ``SweepProgress.finish``.
        execute: The function that a worker calls, see `Engine.map`; None trains and evaluates.
        grouped: Puts jobs together that one worker is to do, given whether there are GPUs.
    """

    request: Callable[[JobT, bool], Request]
    settle: Callable[[Finished], None]
    execute: WorkerFunction | None = None
    grouped: Callable[[Sequence[JobT], bool], list[JobT | Together]] = each_alone
