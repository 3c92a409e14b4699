"""Runs that differ in seed, learning rate or β alone, trained as one network on one device."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch

from bench.configuration.job import Job
from bench.errors import InputError
from bench.records.types import Record
from bench.runs.log import RunLog
from bench.runs.run import open_log, recorded, run
from bench.settings import Progress
from bench.system.determinism import deterministic
from bench.system.devices import Reserved, devices_for
from bench.system.launchers import hidden, is_a_launchers
from bench.training.checkpoints import BEST, LAST, join, remove
from bench.training.epoch import TrainingDiverged
from bench.training.fit import silence_lightning
from bench.training.many_steps import BATCHES_AT_ONCE
from bench.training.together import Seat, Together
from bench.training.turns import Turns


def run_stack(
    jobs: Sequence[Job],
    progress_of: Callable[[str], Progress] = lambda key: lambda phase, share, text: None,
    gpus: Reserved | None = None,
) -> list[Record]:
    """Do runs whose training is stacked, and return the record of each.

    A run that fails in the stack, be it because another did, is done again alone, and resumes from
    its last checkpoint.

    Args:
        jobs: The runs.
        progress_of: Returns the progress callback of a run, given its key.
        gpus: Names of the GPUs reserved for them; None takes all that the machine has.

    Raises:
        InputError: A mistake of the user, or an error of the storage; no record is made.
    """
    silence_lightning()
    deterministic()
    for job in jobs:
        job.load_outside()
    devices = devices_for(1, gpus)
    with hidden(is_a_launchers), ExitStack() as logs:
        opened = [logs.enter_context(open_log(job)) for job in jobs]
        records = stacked(jobs, devices, gpus.share if gpus else 1.0, opened, progress_of)
    return [
        record or run(job, progress_of(job.key), gpus)
        for job, record in zip(jobs, records, strict=True)
    ]


def stacked(
    jobs: Sequence[Job],
    devices: list[torch.device],
    share: float,
    logs: Sequence[RunLog],
    progress_of: Callable[[str], Progress],
) -> list[Record | None]:
    """Do runs together; those that fail have no record."""

    def note(line: str) -> None:
        for log in logs:
            log.write(line)

    def one(job: Job, log: RunLog, seat: Seat) -> Record | None:
        progress = progress_of(job.key)

        def interruptible(phase: str, share: float, text: str) -> None:
            turns.check()
            progress(phase, share, text)

        try:
            record = recorded(job, devices, share, log, interruptible, seat)
        except InputError:
            raise
        except Exception as error:
            if isinstance(error, TrainingDiverged):
                # Whether a training diverges twice in the same way is asked of single runs alone.
                for name in (LAST, BEST):
                    remove(join(job.checkpoints, name))
            log.write(f"not stacked: {type(error).__name__}; done again alone")
            return None
        finally:
            seat.leave()
        return record

    together = Together(len(jobs), BATCHES_AT_ONCE, note, lambda: turns.pass_on())
    turns: Turns[Any] = Turns(
        [partial(one, *each) for each in zip(jobs, logs, list(together.seats), strict=True)]
    )
    found: list[Record | None] = turns.run()
    return found
