"""Published numbers: the results of papers whose recipes the sweeps run."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from math import log

import yaml


@dataclass(frozen=True)
class Published:
    """One number of a paper.

    Attributes:
        sweep: The sweep that runs its recipe.
        task: The task in that sweep.
        model: The row of the leaderboard that follows its recipe.
        column: The column of runs.csv that it is compared with.
        value: The number, in ``unit``.
        unit: nats, bits/dim or units.
        source: Paper and place.
        how: read: seen in the source's own text; recalled: not seen there.
        tolerance: Largest difference to ours that counts as a match, fixed before anything was run.
        differs: Differences between their recipe and ours.
        split: The split of ours that it is compared with.
        spread: Their own error, if they state one.
    """

    sweep: str
    task: str
    model: str
    column: str
    value: float
    unit: str
    source: str
    how: str
    tolerance: float
    differs: str
    split: str = "test"
    spread: float | None = None


@lru_cache(maxsize=1)
def published() -> list[Published]:
    """Return all published numbers."""
    text = files("bench.report").joinpath("published.yaml").read_text(encoding="utf-8")
    return [Published(**entry) for entry in yaml.safe_load(text)]


# Dimensions of the data sets whose papers report nats per image.
DIMENSIONS = {"mnist": 784, "fashion": 784}


def published_value(sweep: str, task: str, model: str) -> tuple[float | None, str | None]:
    """Return the published bits/dim for a row and their source; (None, None) if there are none."""
    for entry in published():
        if (entry.sweep, entry.task, entry.model) != (sweep, task, model):
            continue
        source = f"{entry.source} ({entry.how})"
        if entry.column == "bits_per_dim":
            return entry.value, source
        if entry.column == "log_likelihood":
            dimensions = DIMENSIONS[task.partition("-")[0]]
            return -entry.value / (dimensions * log(2)), f"{source}: {entry.value} nats"
    return None, None
