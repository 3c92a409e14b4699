"""The spreads over seeds of all published rows, and the priors that are fitted to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, log, log10
from pathlib import Path

import pandas as pd

from bench.records.row import METRICS
from bench.records.tables import read_runs
from bench.records.types import SPLITS
from bench.settings import Split
from bench.sweep.tolerances import HEADLINE, USUAL_DEGREES, unit_of, variance_of

# Squared units. The marginal KL of a prior that is the aggregated posterior is 0 up to rounding.
NO_SPREAD = 1e-12
# Published sweeps, as folders of results/.
PUBLISHED = ("published/default", "mnist", "fashion", "surgery", "mnist-smoke", "fashion-smoke")


@dataclass(frozen=True)
class SeedRow:
    """A published row with several seeds.

    Attributes:
        sweep: Its sweep.
        task: Its task.
        model: Its model.
        values: {(split, column): the seeds' values}, for columns that all of its seeds have.
        units: {(split, column): the unit of its spread}.
    """

    sweep: str
    task: str
    model: str
    values: dict[tuple[Split, str], list[float]]
    units: dict[tuple[Split, str], float]

    @property
    def seeds(self) -> int:
        return len(self.values["test", "log_likelihood"])


def seed_rows(results: Path) -> list[SeedRow]:
    """Return the rows with two seeds or more of those published sweeps that ``results`` has."""
    rows = []
    for sweep in PUBLISHED:
        path = results / sweep / "runs.csv"
        if not path.is_file():
            continue
        runs = read_runs(path)
        runs = runs[(runs["status"] == "ok") & (runs["parameters"] > 0)]
        for (task, model), group in runs.groupby(["task", "model"], sort=False):
            if group["key"].nunique() > 1:
                rows.append(seed_row(sweep, str(task), str(model), group))
    return rows


def seed_row(sweep: str, task: str, model: str, group: pd.DataFrame) -> SeedRow:
    """Return a row, of the part of runs.csv that holds its seeds."""
    images = int(group.loc[group["split"] == "train", "n"].iloc[0])
    values: dict[tuple[Split, str], list[float]] = {}
    units: dict[tuple[Split, str], float] = {}
    for split in SPLITS:
        own = group[group["split"] == split]
        likelihood = {name: float(own[name].mean()) for name in HEADLINE}
        for column in METRICS:
            if own[column].notna().all():
                values[split, column] = [float(value) for value in own[column]]
                units[split, column] = unit_of(column, likelihood, images)
    return SeedRow(sweep, task, model, values, units)


def ratios(rows: Sequence[SeedRow], column: str) -> list[tuple[float, int]]:
    """Return the variances of a column over their squared units, with their degrees of freedom.

    Spreads of 0 up to rounding are left out: they are those of numbers that do not depend on the seed,
    such as a flow's mutual information, or of small whole numbers.
    """
    found = []
    for row in rows:
        for split in SPLITS:
            seeds = row.values.get((split, column), [])
            ratio = variance_of(seeds) / row.units[split, column] ** 2 if seeds else 0.0
            if ratio > NO_SPREAD:
                found.append((ratio, len(seeds) - 1))
    return found


def fitted_scale(rows: Sequence[SeedRow], column: str) -> float | None:
    """Return the scale of the prior of a column's spread with USUAL_DEGREES; None if no row has it.

    By maximum likelihood, over both splits: variances of samples over the squared scale have Fisher's F
    distribution (Smyth 2004, section 6.2).
    """
    from scipy.optimize import brentq

    found, own = ratios(rows, column), USUAL_DEGREES
    if not found:
        return None

    def slope(log_square: float) -> float:
        square = exp(log_square)
        return sum(d * ((d + own) * ratio / (own * square + d * ratio) - 1) for ratio, d in found)

    return exp(float(brentq(slope, log(min(found)[0]) - 20, log(max(found)[0]) + 20)) / 2)


def fitted_degrees(rows: Sequence[SeedRow], column: str, split: Split) -> float:
    """Return the degrees of freedom of that prior by the same moments; infinity if spreads agree.

    Args:
        rows: The rows.
        column: The estimate.
        split: The one split that is used: those of one row are alike.
    """
    from scipy.optimize import brentq
    from scipy.special import digamma, polygamma

    of_split = [row for row in rows if (split, column) in row.values]
    logs, noise = [], []
    for row in of_split:
        seeds, unit = row.values[split, column], row.units[split, column]
        half = (len(seeds) - 1) / 2
        logs.append(log(variance_of(seeds) / unit**2) - digamma(half) + log(half))
        noise.append(float(polygamma(1, half)))
    excess = variance_of(logs) - sum(noise) / len(noise)
    if excess <= 0:
        return float("inf")
    return 2 * float(brentq(lambda half: polygamma(1, half) - excess, 1e-3, 1e6))


def fitted_scales(rows: Sequence[SeedRow]) -> dict[str, float]:
    """Return the scale of every column that some row has, rounded up to one digit.

    Rounding up pays for the scale's own error, which is a factor of about 1.4. ``USUAL`` holds the scales
    of all published rows.
    """
    scales = {column: fitted_scale(rows, column) for column in METRICS}
    return {column: rounded_up(scale) for column, scale in scales.items() if scale is not None}


def rounded_up(number: float) -> float:
    """Return a positive number rounded up to one significant digit.

    Examples:
        >>> rounded_up(0.137), rounded_up(0.2)
        (0.2, 0.2)
    """
    places = -floor(log10(number))
    return round(ceil(round(number * 10.0**places, 9)) / 10.0**places, max(places, 0))
