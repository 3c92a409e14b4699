"""Two runs, or two rows with all their seeds, side by side: options that differ, and differences."""

from dataclasses import dataclass
from math import hypot
from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.records.differences import differing, options_of
from bench.records.record import read_record, record_path
from bench.report.intervals import interval
from bench.system.files import is_there
from bench.system.printing import decimals_of_error

# What is compared, in the order of the tables.
MEASURED = {
    "bits_per_dim": "bits/dim",
    "log_likelihood": "nats",
    "elbo": "nats",
    "reconstruction": "nats",
    "kl": "nats",
    "mutual_information": "nats",
    "marginal_kl": "nats",
    "inference_gap": "nats",
    "active_units": "",
    "sharpness": "of data's",
}
NORMAL = 1.96  # of 95 %
# Decimals of what has no interval, and the most that are shown.
DECIMALS = {"bits_per_dim": 4, "active_units": 1}
OTHER_DECIMALS = 2


@dataclass(frozen=True)
class Side:
    """Runs of one row.

    Attributes:
        directory: The sweep's folder.
        rows: Their rows of runs.csv, of every split.
    """

    directory: Path
    rows: pd.DataFrame

    @property
    def title(self) -> str:
        first = self.rows.iloc[0]
        seeds = ", ".join(str(seed) for seed in sorted(self.rows["seed"].unique()))
        return f"{first['task']}, {first['model']}, seed {seeds} ({self.directory})"


@dataclass(frozen=True)
class Difference:
    """A number of both sides, and the second less the first with its 95 % interval, if it has one."""

    name: str
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None


def check_comparable(first: Side, second: Side) -> None:
    """Raise InputError unless each side is one row, and both are of one task and are measured alike."""
    for side in (first, second):
        names = side.rows[["task", "model"]].drop_duplicates()
        if len(names) > 1:
            shown = "; ".join(
                f"task={task} model={model}" for task, model in names.head(4).to_numpy()
            )
            raise InputError(f"compare: {len(names)} rows match: {shown}; name one of them")
    tasks = [side.rows["task"].iloc[0] for side in (first, second)]
    if tasks[0] != tasks[1]:
        raise InputError(
            f"compare: the runs are of the tasks {tasks[0]} and {tasks[1]}; numbers compare inside one"
        )
    if (first.directory, *first.rows["key"]) == (second.directory, *second.rows["key"]):
        raise InputError("compare: both are the same run")


def options_that_differ(first: Side, second: Side) -> list[tuple[str, str, str]] | None:
    """Return (option, first's value, second's); None if a record is not there to read them from."""
    options = []
    for side in (first, second):
        path = record_path(side.directory / "runs", side.rows["key"].iloc[0])
        if not is_there(path):
            return None
        options.append(options_of(read_record(path)["config"]))
    return [
        (name, options[0].get(name, "–"), options[1].get(name, "–")) for name in differing(options)
    ]


def seeds_shared(first: Side, second: Side) -> list[int]:
    return sorted(set(first.rows["seed"]) & set(second.rows["seed"]))


def differences(first: Side, second: Side, split: str) -> list[Difference]:
    """Return the differences on a split: second less first.

    With two shared seeds or more they are paired by seed, with Student's interval of the differences.
    With one run on each side the interval has the Monte-Carlo errors alone, if both are known.
    """
    one, two = (
        side.rows[side.rows["split"] == split].drop_duplicates("seed").set_index("seed")
        for side in (first, second)
    )
    shared = sorted(set(one.index) & set(two.index))
    found = []
    for name in MEASURED:
        if name not in one or name not in two or one[name].isna().all() or two[name].isna().all():
            continue
        low: float | None = None
        high: float | None = None
        if len(shared) > 1:
            both = two.loc[shared, name] - one.loc[shared, name]
            mean, low, high = interval(both.tolist(), is_exact=False)
            difference = mean if mean is not None else float("nan")
        else:
            difference = two[name].mean() - one[name].mean()
            errors = [
                side[f"{name}_stderr"].iloc[0] for side in (one, two) if f"{name}_stderr" in side
            ]
            if len(one) == len(two) == 1 and len(errors) == 2 and not pd.isna(errors).any():
                half = NORMAL * hypot(*errors)
                low, high = difference - half, difference + half
        found.append(Difference(name, one[name].mean(), two[name].mean(), difference, low, high))
    return found


def decimals_of(one: Difference) -> int:
    """Return the decimals that show two digits of half the interval, if there is one."""
    half = (one.high - one.low) / 2 if one.low is not None and one.high is not None else 0.0
    if not half > 0:
        return DECIMALS.get(one.name, OTHER_DECIMALS)
    return decimals_of_error(half)
