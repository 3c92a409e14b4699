"""Jobs done on an engine that is restarted when it dies."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from bench.errors import InputError
from bench.sweep.jobs import EngineLost, EngineNotStarted, Finished, Keyed, WorkerFunction
from bench.sweep.progress import SweepProgress
from bench.sweep.resources import Request

if TYPE_CHECKING:
    from bench.sweep.apart import EngineApart
    from bench.sweep.inline import InlineEngine

JobT = TypeVar("JobT", bound=Keyed)


def finished_jobs(
    pending: Sequence[JobT],
    request_of: Callable[[JobT, bool], Request],
    progress: SweepProgress,
    address: str | None,
    workers: int | None,
    work: WorkerFunction | None = None,
) -> Generator[Finished, None, None]:
    """Yield each job as it ends. Closing the generator ends its engine.

    Args:
        pending: The jobs.
        request_of: Returns the resources of a job, given the job and whether there are GPUs.
        progress: Shows messages; another engine leaves out the jobs in its ``done``.
        address: Address of a running Ray cluster; None starts one on this machine.
        workers: Largest number of jobs at once; None is as many as fit, 0 does them in this process.
        work: The function that a worker calls, see `Engine.map`.

    Raises:
        InputError: The cluster at the address is gone, or embedded engines keep dying.
    """
    losses: Counter[type[EngineLost]] = Counter()  # since a job has ended
    while left := [job for job in pending if job.key not in progress.done]:
        done = len(progress.done)
        try:
            yield from on_one_engine(left, request_of, progress, address, workers, work)
        except EngineLost as error:
            if len(progress.done) > done:
                losses.clear()
            if not isinstance(error, EngineNotStarted):
                losses[EngineNotStarted] = 0
            losses[type(error)] += 1
            reason = str(error).removeprefix("engine: ")
            if address is not None or losses[type(error)] > error.retries:
                raise InputError(
                    f"engine: {reason}; what is recorded is safe, and the same command resumes"
                ) from None
            progress.say(f"the engine died ({reason}); it is restarted")


def on_one_engine(
    pending: Sequence[JobT],
    request_of: Callable[[JobT, bool], Request],
    progress: SweepProgress,
    address: str | None,
    workers: int | None,
    work: WorkerFunction | None,
) -> Iterator[Finished]:
    """Start an engine, or connect to the running one, and yield each job as it ends.

    Raises:
        InputError: There is no cluster at the address, or a job asks for more than every node has.
        EngineLost: The engine died.
    """
    engine = start_engine(progress, address, workers)
    try:
        requests = {job.key: request_of(job, engine.has_gpus) for job in pending}
        for finished in engine.map(pending, requests, work):
            if finished is not None:
                yield finished
            progress.update(engine.progress())
        efficiency = progress.efficiency(engine.slots(list(requests.values())))
    finally:
        engine.close()
    if efficiency:
        progress.say(efficiency)


def start_engine(
    progress: SweepProgress, address: str | None, workers: int | None
) -> "EngineApart | InlineEngine":
    """Return the engine for this number of workers: without any, this very process."""
    if workers == 0:
        from bench.sweep.inline import InlineEngine

        progress.say("no workers: one run after another in this process")
        return InlineEngine(progress.update)
    from bench.sweep.apart import EngineApart

    progress.say("starting the engine")
    started = time.monotonic()
    engine = EngineApart(address, workers)
    progress.say(f"the engine started after {time.monotonic() - started:.1f} s")
    return engine
