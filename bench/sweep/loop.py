"""The loop of a driver: jobs go to the engine, and each is settled as it ends."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bench.sweep.engine import Finished
from bench.sweep.progress import Progress
from bench.sweep.resources import Request
from bench.sweep.restarts import finished_jobs

JobT = TypeVar("JobT")


@dataclass(frozen=True)
class Work(Generic[JobT]):
    """What a driver does with its jobs.

    Attributes:
        request: Returns the resources of a job, given the job and whether there are GPUs.
        settle: Called in the driver with each finished job: writes its result, and calls
            ``Progress.finish``.
        execute: Called in a worker, see `Engine.map`; None trains and evaluates.
    """

    request: Callable[[JobT, bool], Request]
    settle: Callable[[Finished], None]
    execute: Callable[[JobT, Any], Any] | None = None


def do_jobs(
    pending: list[JobT],
    work: Work[JobT],
    progress: Progress,
    address: str | None,
    workers: int | None,
) -> None:
    """Do jobs on an engine, which is started again when it dies, and ended at the end.

    Args:
        pending: Anything with a ``key``.
        work: What to do with each.
        progress: Shows how far the jobs are.
        address: Address of a running Ray cluster; None starts one on this machine.
        workers: Largest number of jobs at once; None is as many as fit.

    Raises:
        InputError: The cluster at the address is gone, or one of our own dies again and again.
    """
    jobs = finished_jobs(pending, work.request, progress, address, workers, work.execute)
    with closing(jobs):
        for finished in jobs:
            work.settle(finished)
