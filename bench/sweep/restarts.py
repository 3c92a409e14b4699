"""Jobs done on an engine that is started again when it dies."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator

from bench.errors import InputError
from bench.sweep.engine import EngineLost, EngineNotStarted, Finished
from bench.sweep.progress import Progress
from bench.sweep.resources import Request


def finished_jobs(
    pending: list,
    request_of: Callable[..., Request],
    progress: Progress,
    address: str | None,
    workers: int | None,
    work: Callable | None = None,
) -> Generator[Finished, None, None]:
    """Yield each job as it ends; close it to end its engine.

    Args:
        pending: Anything with a ``key``.
        request_of: Called with a job and whether there are GPUs: what the job is given.
        progress: Is told what happens; its ``done`` says which jobs another engine need not do.
        address: Address of a running Ray cluster; None starts one on this machine.
        workers: Largest number of jobs at once; None is as many as fit.
        work: What a worker does, see `Engine.map`.

    Raises:
        InputError: The cluster at the address is gone, or one of our own dies again and again.
    """
    losses: Counter = Counter()  # of each kind, since a job has ended
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
                    f"engine: {reason}; what is recorded is safe, and the same command goes on"
                ) from None
            progress.say(f"the engine died ({reason}); started again")


def on_one_engine(
    pending: list,
    request_of: Callable[..., Request],
    progress: Progress,
    address: str | None,
    workers: int | None,
    work: Callable | None,
) -> Iterator[Finished]:
    """Start an engine, or reach the one that there is, and yield each job as it ends.

    Raises:
        InputError: There is no cluster at the address, or a job asks for what no node has.
        EngineLost: The engine died.
    """
    from bench.sweep.apart import EngineApart

    progress.say("starting the engine")
    started = time.monotonic()
    engine = EngineApart(address, workers)
    try:
        progress.say(f"the engine is there after {time.monotonic() - started:.1f} s")
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
