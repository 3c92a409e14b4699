"""The engine of ``--workers 0``: one job after another in this very process, without Ray."""

from collections.abc import Callable, Iterator, Sequence
from math import ceil

from bench.errors import InputError
from bench.sweep.engine import machine
from bench.sweep.jobs import (
    Assigned,
    Finished,
    Keyed,
    WorkerFunction,
    execute,
    failed_with,
)
from bench.sweep.progress import RunProgress
from bench.sweep.resources import Request, refuse_what_never_fits
from bench.system.device_trouble import device_trouble
from bench.system.devices import Reserved, visible_gpus


class InlineEngine:
    """Does jobs where it is called: in a debugger, in a notebook, or where Ray is not installed.

    Args:
        show: Called with the progress of the job at work, by its key, while it works.
    """

    def __init__(self, show: Callable[[dict[str, RunProgress]], object]):
        self.show = show
        self.has_gpus = bool(visible_gpus())
        self._board: dict[str, RunProgress] = {}

    def slots(self, requests: list[Request]) -> int:
        """Return how many of these runs fit at once: one."""
        return 1

    def map(
        self,
        jobs: Sequence[Keyed],
        requests: dict[str, Request],
        work: WorkerFunction | None = None,
    ) -> Iterator[Finished]:
        """Do all jobs, yielding each as it ends, see `Engine.map`.

        Raises:
            InputError: A job asks for more than this machine has; or a GPU of it is in trouble, after
                which this process cannot use it any more.
        """
        refuse_what_never_fits([requests[job.key] for job in jobs], [machine()])
        do: WorkerFunction = work or execute
        for job in jobs:
            # A share of a GPU is all of it where nothing else is done at the same time.
            names = visible_gpus()[: ceil(requests[job.key].gpus)]
            assigned = Assigned(Reserved(tuple(names)), self._write)
            try:
                finished = Finished(job.key, do(job, assigned))
            except Exception as error:
                if trouble := device_trouble(error):
                    raise InputError(
                        f"{trouble}; what is recorded is safe, and the same command resumes"
                    ) from None
                finished = failed_with(job.key, error)
            yield finished

    def progress(self) -> dict[str, RunProgress]:
        """Return the progress of the jobs that have reported, by key."""
        return self._board

    def close(self) -> None:
        """Do nothing: there are no other processes."""

    def _write(self, key: str, phase: str, share: float, text: str) -> None:
        self._board[key] = (phase, share, text)
        self.show(self._board)
