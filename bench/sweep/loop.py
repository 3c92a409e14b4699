"""The loop of a driver: it hands jobs to an engine and settles each one when it ends."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

from bench.sweep.jobs import Finished, Keyed, WorkerFunction
from bench.sweep.progress import SweepProgress
from bench.sweep.resources import Request
from bench.sweep.restarts import finished_jobs

JobT = TypeVar("JobT", bound=Keyed)


@dataclass(frozen=True)
class Work(Generic[JobT]):
    """What a driver does with its jobs.

    Attributes:
        request: Returns the resources of a job, given the job and whether there are GPUs.
        settle: Called in the driver with each finished job: writes its result, and calls
            ``SweepProgress.finish``.
        execute: The function that a worker calls, see `Engine.map`; None trains and evaluates.
    """

    request: Callable[[JobT, bool], Request]
    settle: Callable[[Finished], None]
    execute: WorkerFunction | None = None


def do_jobs(
    pending: Sequence[JobT],
    work: Work[JobT],
    progress: SweepProgress,
    address: str | None,
    workers: int | None,
) -> None:
    """Do jobs on an engine, which is restarted when it dies and closed at the end.

    Args:
        pending: The jobs.
        work: What to do with each.
        progress: Shows the progress of the jobs.
        address: Address of a running Ray cluster; None starts one on this machine.
        workers: Largest number of jobs at once; None is as many as fit, 0 does them in this process.

    Raises:
        InputError: The cluster at the address is gone, or embedded engines keep dying.
    """
    jobs = finished_jobs(pending, work.request, progress, address, workers, work.execute)
    with closing(jobs):
        for finished in jobs:
            work.settle(finished)
