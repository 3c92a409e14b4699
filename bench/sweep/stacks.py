"""Which runs of a sweep train as one network."""

import json
from collections.abc import Mapping, Sequence
from math import ceil

from bench.configuration.job import Job
from bench.configuration.models import build_model
from bench.data.tasks import load_task, task_of
from bench.records.types import Config
from bench.settings import trainer_config
from bench.sweep.jobs import Stack
from bench.sweep.resources import Resources
from bench.training.stacked import why_not_stacked

# What may differ between runs of a stack, besides the seed: numbers that do not enter the network.
FREE = ("learning_rate", "schedule", "beta", "kl_warmup_epochs", "max_epochs", "patience")
# On one GPU; more runs no longer gain, because the GPU is busy.
MOST = 16


def stacks_of(
    jobs: Sequence[Job], resources: Mapping[str, Resources], has_gpus: bool, slots: int = 1
) -> list[Job | Stack]:
    """Put jobs together that differ in nothing but what a stack may differ in.

    Args:
        jobs: The jobs of a sweep.
        resources: {key: resources that the job asks for}.
        has_gpus: Whether there are GPUs, on which jobs are stacked by default.
        slots: How many jobs fit at once; stacks are not so large that some of them stay empty.
    """
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        asked = resources[job.key]
        wanted = has_gpus and asked.gpus != 0 if asked.stack is None else asked.stack
        name = f"{asked} {architecture(job.config)}" if wanted else job.key
        groups.setdefault(name, []).append(job)
    found: list[Job | Stack] = []
    most = min(MOST, ceil(len(jobs) / max(slots, 1)))
    for group in groups.values():
        size = most if len(group) > 1 and can_be_stacked(group[0]) else 1
        for start in range(0, len(group), size):
            part = tuple(group[start : start + size])
            found.append(Stack(part) if len(part) > 1 else part[0])
    return found


def architecture(config: Config) -> str:
    """Return a configuration without what runs of a stack may differ in, as JSON."""
    trainer = {name: value for name, value in config["trainer"].items() if name not in FREE}
    rest = {name: value for name, value in config.items() if name != "seed"}
    return json.dumps(rest | {"trainer": trainer}, sort_keys=True)


def can_be_stacked(job: Job) -> bool:
    """Tell whether runs of a job's model can be stacked, see `why_not_stacked`."""
    data = load_task(task_of(job.config))
    model = build_model(job.config, data.shape, data.task.levels)
    return not why_not_stacked(model, trainer_config(job.config))
