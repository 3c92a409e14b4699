"""Published numbers: the results of papers whose recipes the sweeps run."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from math import log, sqrt

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
        how: read: seen in the source's own text; transcribed: in another's copy of it; recalled:
            in neither.
        differs: Differences between their recipe and ours.
        reference_fixed: When a commit first held value, spread, unit and source as they are.
        margin: Largest true difference that counts as equivalent, in ``unit``: at most half of
            ``effect``. None only where the numbers are not comparable.
        margin_fixed: When a commit first held the margin as it is.
        effect: The difference that their table is about, in ``unit``.
        effect_of: What that is the effect of.
        reason: What was tested to explain a difference, and what was not.
        not_comparable: Why the two numbers are not of one quantity.
        split: The split of ours that it is compared with.
        spread: What their table has behind ±.
        samples: K of their L_K, where it is one and known.
    """

    sweep: str
    task: str
    model: str
    column: str
    value: float
    unit: str
    source: str
    how: str
    differs: str
    reference_fixed: datetime
    margin: float | None = None
    margin_fixed: datetime | None = None
    effect: float | None = None
    effect_of: str | None = None
    reason: str | None = None
    not_comparable: str | None = None
    split: str = "test"
    spread: float | None = None
    samples: int | None = None


@lru_cache(maxsize=1)
def published_file() -> dict[str, object]:
    """Return the content of published.yaml."""
    text = files("bench.report").joinpath("published.yaml").read_text(encoding="utf-8")
    content: dict[str, object] = yaml.safe_load(text)
    return content


@lru_cache(maxsize=1)
def published() -> list[Published]:
    """Return all published numbers whose recipe a sweep runs."""
    entries = published_file()["entries"]
    assert isinstance(entries, list)
    return [Published(**entry) for entry in entries]


def before_runs(fixed: datetime, commits: list[str]) -> str:
    """Tell whether something was fixed before the code of runs was committed.

    Returns:
        yes or no; "not known" where published.yaml does not know when a commit was made.
    """
    times = published_file()["run_commits"]
    assert isinstance(times, dict)
    if not commits or not all(commit in times for commit in commits):
        return "not known"
    return "yes" if all(fixed <= times[commit] for commit in commits) else "no"


def draws_stderr(task: str, column: str, split: str) -> float | None:
    """Return the standard error of a difference by the draws of binarized test images, in nats.

    On a dynamic task the test images are drawn once: ours in one draw for all seeds, theirs in another.
    The difference of the two means has √2 times the error of one. None where it was not measured, or
    where there is no such draw.
    """
    draws = published_file()["test_draws"]
    assert isinstance(draws, dict)
    if (column, split) != ("log_likelihood", "test") or task not in draws:
        return None
    return sqrt(2) * float(draws[task]["stderr"])


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
