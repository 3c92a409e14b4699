"""Tolerances of `bench verify`: how far a published estimate may be from that of a new run.

A publisher can write anything into a table and its records, so a tolerance never comes from the row
under test. Its Monte-Carlo part comes from the new run. How much a training differs when it is
repeated, is the spread of seeds: the usual one, which is fixed here, moderated by what the table has
of other seeds of the row and of the same model on other tasks (Smyth 2004, Statistical Applications
in Genetics and Molecular Biology 3, eq. 5.1). So one published seed is enough, and many invented ones
widen a tolerance up to a limit only.

All columns are compared at once. Bonferroni's correction, with weights, lets an honest repetition
pass in at least 95 of 100 cases: half of the 5 % is for the number that rows are ranked by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, isfinite, nan, sqrt
from typing import Any

import pandas as pd

from bench.records.run_columns import DIAGNOSTICS
from bench.records.types import SPLITS, EstimateRecord, TableRecord
from bench.settings import Split

# Relative difference of float64 sums between machines with different instructions.
ROUNDING = 1e-6
# Rounding moves a datum over a threshold, and the effective sample size by the weights' rounding.
ROUNDING_OF_DIAGNOSTIC = 0.01
MISTAKES = 0.05
# One number in two units, on the test split.
HEADLINE = ("bits_per_dim", "log_likelihood")
# The usual standard deviation over seeds, as a share of |log_likelihood| / √(number of training
# images), in which digits (1,197 images), MNIST and Fashion-MNIST agree: root mean squares over the
# twelve rows that were published with two or three seeds first, rounded up.
USUAL = 0.25
USUAL_OF = {
    "bits_per_dim": 0.2,
    "log_likelihood": 0.2,
    "reconstruction": 0.4,
    "mutual_information": 0.06,
    "kl_analytic": 0.3,
    "elbo_aggregate": 0.3,
    "marginal_kl_aggregate": 0.45,
}
# The same without that scale, in the column's own unit; log n has no spread.
USUAL_PLAIN = {"active_units": 0.7, "log_n": 0.0}
# The same as a share of 1 / √(number of training images).
USUAL_SHARPNESS = 0.4
# Degrees of freedom of the usual spread: the spreads of those rows vary about it by as much as
# estimates with eight would.
USUAL_DEGREES = 8
# Published seeds raise the spread up to this many times the usual one.
MOST_SPREAD = 3.0
# The spread of these diagnostics over seeds is not known yet: the largest difference of shares of
# data, and of the effective sample size as a share of the new one.
MOST = {"effective_sample_size_below_10": 0.2, "pareto_k_above_threshold": 0.2}
MOST_OF_SIZE = 0.5


@dataclass(frozen=True)
class Seeds:
    """Published seeds beside the row under test.

    Attributes:
        others: Values of one column for other seeds of the same task and model.
        sisters: Of each other task with several seeds of the same model: the variance of the column
            over its squared unit of spread, and its degrees of freedom.
    """

    others: tuple[float, ...] = ()
    sisters: tuple[tuple[float, int], ...] = ()


def tolerance(
    record: TableRecord, split: Split, column: str, seeds: Seeds, same_weights: bool
) -> float:
    """Return the largest allowed difference of a published estimate to the new one.

    Both have Monte-Carlo errors, and both are seeds of the training, unless nothing was trained
    again: t √2 √(s² + error²), with the moderated variance s² of ``spread_of``.

    Args:
        record: The new run.
        split: train or test.
        column: The estimate; it is in the record.
        seeds: The published values for other seeds.
        same_weights: Nothing was trained again, so that seeds do not matter.
    """
    metrics = record["metrics"][split]
    value, error = metrics[column]["value"], error_of(metrics[column])
    spread, degrees = 0.0, inf
    rounding = ROUNDING * max(1.0, abs(value))
    if column in DIAGNOSTICS:
        rounding += ROUNDING_OF_DIAGNOSTIC * max(1.0, abs(value))
    if not same_weights and record.get("parameters"):
        if column in MOST or column == "effective_sample_size_median":
            return rounding + MOST.get(column, MOST_OF_SIZE * value)
        usual = usual_spread(record, split, column)
        spread, degrees = spread_of(usual, value, seeds)
    is_headline = split == "test" and column in HEADLINE
    others = sum(len(record["metrics"][name]) for name in SPLITS) - len(HEADLINE)
    return rounding + critical(degrees, is_headline, others) * sqrt(2 * (spread**2 + error**2))


@lru_cache(maxsize=1024)
def critical(degrees: float, is_headline: bool, others: int) -> float:
    """Return the two-sided critical value of one comparison among all.

    Args:
        degrees: Degrees of freedom of the spread.
        is_headline: It is that of the headline, which has half of the mistakes for itself.
        others: Number of the other comparisons, which share the other half.
    """
    from scipy.stats import t

    mistakes = MISTAKES / 2 if is_headline else MISTAKES / 2 / max(others, 1)
    return float(t.ppf(1 - mistakes / 2, degrees))


def spread_of(usual: float, value: float, seeds: Seeds) -> tuple[float, float]:
    """Return the standard deviation over seeds and its degrees of freedom.

    The usual variance and those of the published seeds are weighted by their degrees of freedom. The
    new value is one of the seeds of its row.

    Args:
        usual: The usual standard deviation.
        value: The new value.
        seeds: The published values of other seeds.
    """
    own = [value, *(other for other in seeds.others if isfinite(other))]
    parts = [(usual**2, USUAL_DEGREES), (variance_of(own), len(own) - 1)]
    parts += [(usual**2 * ratio, degrees) for ratio, degrees in seeds.sisters]
    total = sum(degrees for _, degrees in parts)
    variance = sum(variance * degrees for variance, degrees in parts) / total
    return min(sqrt(variance), MOST_SPREAD * usual), total


def usual_spread(record: TableRecord, split: Split, column: str) -> float:
    """Return the usual standard deviation of a run's estimate over seeds."""
    likelihood = {name: record["metrics"][split][name]["value"] for name in HEADLINE}
    return unit_of(column, likelihood, record["data"]["sizes"]["train"])


def unit_of(column: str, likelihood: dict[str, float], images: int) -> float:
    """Return the usual standard deviation over seeds of a column.

    Args:
        column: The estimate.
        likelihood: bits_per_dim and log_likelihood of the model on the split.
        images: Number of images that it was trained on.
    """
    if column in USUAL_PLAIN:
        return USUAL_PLAIN[column]
    if column.startswith("sharpness"):
        return USUAL_SHARPNESS / sqrt(images)
    # bits/dim have the unit of bits/dim, all else is in nats.
    name = "bits_per_dim" if column == "bits_per_dim" else "log_likelihood"
    return USUAL_OF.get(column, USUAL) * abs(likelihood[name]) / sqrt(images)


def error_of(estimate: EstimateRecord) -> float:
    """Return the Monte-Carlo error of an estimate; 0 of an exact one.

    Where that of L_K cannot be known, the error over the data takes its place, which contains it.
    """
    error = estimate.get("stderr")
    if error is None and estimate.get("samples"):
        error = estimate.get("stderr_data")
    return error or 0.0


def rows_beside(row: pd.Series, runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of runs.csv of the same model and another run than the row under test."""
    same = runs[(runs["model"] == row["model"]) & (runs["key"] != row["key"])]
    return [dict(other) for other in same.to_dict("records")]


def seeds_beside(row: pd.Series, beside: Sequence[dict[str, Any]], column: str) -> Seeds:
    """Return the published seeds that say how much a column spreads.

    Args:
        row: The row under test, of which nothing but its task and split enters.
        beside: What ``rows_beside`` returns for it.
        column: The estimate.
    """
    tasks: dict[str, list[dict[str, Any]]] = {}
    for other in beside:
        if other["split"] == row["split"] and pd.notna(other[column]):
            tasks.setdefault(other["task"], []).append(other)
    own = tasks.pop(row["task"], [])
    ratios = [(ratio_of(group, beside, column), len(group) - 1) for group in tasks.values()]
    sisters = tuple((ratio, degrees) for ratio, degrees in ratios if isfinite(ratio))
    return Seeds(tuple(float(other[column]) for other in own), sisters)


def ratio_of(
    group: Sequence[dict[str, Any]], beside: Sequence[dict[str, Any]], column: str
) -> float:
    """Return the variance of a column over one task's seeds over the usual one; NaN if not known."""
    task = group[0]["task"]
    images = [
        other["n"]
        for other in beside
        if other["task"] == task and other["split"] == "train" and pd.notna(other["n"])
    ]
    if len(group) < 2 or not images or images[0] < 1:
        return nan
    likelihood = {name: sum(other[name] for other in group) / len(group) for name in HEADLINE}
    unit = unit_of(column, likelihood, images[0])
    return variance_of([other[column] for other in group]) / unit**2 if unit else nan


def variance_of(values: Sequence[float]) -> float:
    """Return the variance of a sample, 0 of one value."""
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)


def words_on(record: TableRecord, row: pd.Series, runs: pd.DataFrame, same_weights: bool) -> str:
    """Return in words what the tolerances of a run are made of."""
    if same_weights:
        return "Monte-Carlo error alone, because the weights are the same"
    if not record.get("parameters"):
        return "Monte-Carlo error alone, because nothing is trained"
    seeds = seeds_beside(row, rows_beside(row, runs), "bits_per_dim")
    text = "Monte-Carlo error and the usual spread of seeds"
    if seeds.others:
        text += f", with that of the row's {len(seeds.others)} other published seed(s)"
    if seeds.sisters:
        text += f", with that of the same model on {len(seeds.sisters)} other task(s)"
    return text
