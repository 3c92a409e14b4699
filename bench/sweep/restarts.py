"""Jobs done on an engine that is restarted when it dies."""

import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from bench.errors import InputError
from bench.sweep.jobs import EngineLost, EngineNotStarted, Finished, JobT, Stack, Work
from bench.sweep.progress import SweepProgress

if TYPE_CHECKING:
    from bench.sweep.apart import EngineApart
    from bench.sweep.inline import InlineEngine


def finished_jobs(
    pending: Sequence[JobT],
    work: Work[JobT],
    progress: SweepProgress,
    address: str | None,
    workers: int | None,
) -> Generator[Finished, None, None]:
    """Yield each job as it ends. Closing the generator ends its engine.

    Args:
        pending: The jobs.
        work: What to do with each.
        progress: Shows messages; another engine leaves out the jobs in its ``done``.
        address: Address of a running Ray cluster; None starts one on this machine.
        workers: Largest number of jobs at once; None is as many as fit, 0 does them in this process.

    Raises:
        InputError: The cluster at the address is gone, or embedded engines keep dying.
    """
    losses: Counter[type[EngineLost]] = Counter()  # since a job has ended
    while left := [job for job in pending if job.key not in progress.done]:
        done = len(progress.done)
        try:
            yield from on_one_engine(left, work, progress, address, workers)
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
    work: Work[JobT],
    progress: SweepProgress,
    address: str | None,
    workers: int | None,
) -> Iterator[Finished]:
    """Start an engine, or connect to the running one, and yield each job as it ends.

    Raises:
        InputError: There is no cluster at the address, or a job asks for more than every node has.
        EngineLost: The engine died.
    """
    engine = start_engine(progress, address, workers)
    try:
        slots = engine.slots([work.request(job, engine.has_gpus) for job in pending])
        units = {unit.key: unit for unit in work.grouped(pending, engine.has_gpus, slots)}
        requests = {
            key: work.request(first_of(unit), engine.has_gpus) for key, unit in units.items()
        }
        for finished in engine.map(list(units.values()), requests, work.execute):
            if finished is not None:
                unit = units[finished.key]
                yield from unit.parts(finished) if isinstance(unit, Stack) else [finished]
            progress.update(engine.progress())
        efficiency = progress.efficiency(engine.slots(list(requests.values())))
    finally:
        engine.close()
    if efficiency:
        progress.say(efficiency)


def first_of(unit: JobT | Stack) -> JobT:
    """Return a job, or the first of several, which ask for the same resources."""
    first: JobT = unit.jobs[0] if isinstance(unit, Stack) else unit
    return first


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
