"""The loop of a driver: it hands jobs to an engine and settles each one when it ends."""

from collections.abc import Sequence
from contextlib import closing

from bench.sweep.jobs import JobT, Work
from bench.sweep.progress import SweepProgress
from bench.sweep.restarts import finished_jobs


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
    jobs = finished_jobs(pending, work, progress, address, workers)
    with closing(jobs):
        for finished in jobs:
            work.settle(finished)
