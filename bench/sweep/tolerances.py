"""Tolerances of `bench verify`: how far a published estimate may be from that of a new run.

A publisher can write anything into a table and its records, so a tolerance never comes from the row
under test. Its Monte-Carlo part comes from the new run. How much a training differs when it is
repeated, is the spread of seeds: the usual one, which is fixed here, moderated by what the table has
of other seeds of the row (Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3,
eq. 5.1). A single published seed is enough, at the price of a wide tolerance: some trainings spread
ten times as much as others, and one seed does not tell which they are.

All columns are compared at once. Bonferroni's correction, with weights, lets an honest repetition
pass in at least 95 of 100 cases: half of the 5 % is for the number that rows are ranked by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import hypot, inf, isfinite, sqrt
from typing import Any

import pandas as pd

from bench.records.row import estimates_of
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
# The usual standard deviation over seeds in units of ``unit_of``. These are the scales of scaled
# inverse χ² priors with USUAL_DEGREES, fitted to all published rows with several seeds
# (``fitted_scales`` of `bench calibrate`), and rounded up to one digit.
USUAL = {
    "bits_per_dim": 0.2,
    "log_likelihood": 0.2,
    "elbo": 0.2,
    "reconstruction": 0.4,
    "kl": 0.2,
    "kl_analytic": 0.4,
    "mutual_information": 0.007,
    "marginal_kl": 0.3,
    "inference_gap": 0.07,
    "active_units": 0.8,
    "sharpness": 0.3,
    "elbo_aggregate": 0.3,
    "marginal_kl_aggregate": 0.3,
    "sharpness_aggregate": 0.4,
    "sharpness_reconstruction": 0.2,
    "bound_rise": 0.006,
    "log_n": 0.0,
}
# Degrees of freedom of the usual spread. The fit gives 1.3. Without the sweep `surgery` it gives
# infinity, and the seeds of that sweep then contradict it: so few rows do not show a tail, and the
# smallest whole number is taken.
USUAL_DEGREES = 1
# Seeds count as a spread of this many usual ones at most: published seeds may be invented. The largest
# spreads of published rows are 12 usual ones of the log-likelihood, and 16 of another column.
MOST_SPREAD = 16.0
# Only two sweeps have these diagnostics: the largest difference of shares of data, and of the
# effective sample size as a share of the new one.
MOST = {"effective_sample_size_below_10": 0.2, "pareto_k_above_threshold": 0.2}
MOST_OF_SIZE = 0.5


@dataclass(frozen=True)
class Comparison:
    """Which of all comparisons of a run this is.

    Attributes:
        is_headline: It is that of the headline, which has half of the mistakes for itself.
        others: Number of the other comparisons, which share the other half.
    """

    is_headline: bool
    others: int


def tolerance(
    record: TableRecord, split: Split, column: str, others: Sequence[float], same_weights: bool
) -> float:
    """Return the largest allowed difference of a published estimate to the new one.

    Args:
        record: The new run.
        split: train or test.
        column: The estimate; it is in the record.
        others: The published values of the row's other seeds.
        same_weights: Nothing was trained again, so that seeds do not matter.
    """
    metrics = record["metrics"][split]
    value, error = metrics[column]["value"], error_of(metrics[column])
    rounding = ROUNDING * max(1.0, abs(value))
    if column in DIAGNOSTICS:
        rounding += ROUNDING_OF_DIAGNOSTIC * max(1.0, abs(value))
    usual = 0.0
    if not same_weights and record.get("parameters"):
        if (most := most_of_diagnostic(column, value)) is not None:
            return rounding + most
        likelihood = {name: metrics[name]["value"] for name in HEADLINE}
        usual = USUAL[column] * unit_of(column, likelihood, record["data"]["sizes"]["train"])
    count = sum(len(record["metrics"][name]) for name in SPLITS)
    return rounding + allowed(usual, error, value, others, comparison_of(split, column, count))


def most_of_diagnostic(column: str, value: float) -> float | None:
    """Return the largest difference of a diagnostic without a usual spread; None of other estimates."""
    return MOST_OF_SIZE * value if column == "effective_sample_size_median" else MOST.get(column)


def comparison_of(split: Split, column: str, count: int) -> Comparison:
    """Return which comparison that of an estimate is, of ``count`` ones of both splits."""
    return Comparison(split == "test" and column in HEADLINE, count - len(HEADLINE))


def allowed(
    usual: float, error: float, value: float, others: Sequence[float], comparison: Comparison
) -> float:
    """Return the largest allowed difference of two estimates that both have seeds and errors.

    √2 √((t s)² + (z error)²), with the moderated standard deviation s over seeds of ``spread_of`` and
    the critical values t of its degrees of freedom and z of the normal; t s is at most z MOST_SPREAD
    usual.

    Args:
        usual: The usual standard deviation over seeds; 0 if nothing was trained again.
        error: The Monte-Carlo error of one estimate.
        value: The new value.
        others: The published values of the row's other seeds.
        comparison: Which of all comparisons this is.
    """
    spread, degrees = spread_of(usual, value, others)
    normal = critical(inf, comparison)
    # In this order ``min`` returns the limit if invented seeds make the spread NaN.
    seeds = min(normal * MOST_SPREAD * usual, critical(degrees, comparison) * spread)
    return sqrt(2) * hypot(seeds, normal * error)


@lru_cache(maxsize=1024)
def critical(degrees: float, comparison: Comparison) -> float:
    """Return the two-sided critical value of Student's t for one comparison among all."""
    from scipy.stats import t

    mistakes = MISTAKES / 2 if comparison.is_headline else MISTAKES / 2 / max(comparison.others, 1)
    return float(t.ppf(1 - mistakes / 2, degrees))


def spread_of(usual: float, value: float, others: Sequence[float]) -> tuple[float, float]:
    """Return the standard deviation over seeds and its degrees of freedom.

    The usual variance and that of the published seeds are weighted by their degrees of freedom. The
    new value is one of the seeds of its row. If there are others, the degrees of freedom are those of
    the seeds alone: with that of the usual variance, rows whose seeds spread widely would pass in 90
    of 100 cases instead of 95.

    Args:
        usual: The usual standard deviation.
        value: The new value.
        others: The published values of other seeds.
    """
    own = [value, *(other for other in others if isfinite(other))]
    of_seeds = len(own) - 1
    squares = USUAL_DEGREES * usual**2 + of_seeds * variance_of(own)
    return sqrt(squares / (USUAL_DEGREES + of_seeds)), max(of_seeds, USUAL_DEGREES)


def unit_of(column: str, likelihood: dict[str, float], images: int) -> float:
    """Return the unit in which the spreads over seeds of a column are alike for all tasks.

    For log-quantities it is |log_likelihood| / √images, in which digits (1,197 images), MNIST and
    Fashion-MNIST agree better than in other powers of the number of images.

    Args:
        column: The estimate.
        likelihood: bits_per_dim and log_likelihood of the model on the split.
        images: Number of images that it was trained on.
    """
    if column in ("active_units", "log_n"):
        return 1.0
    if column.startswith("sharpness"):
        return 1 / sqrt(images)
    # bits/dim have the unit of bits/dim, all else is in nats.
    name = "bits_per_dim" if column == "bits_per_dim" else "log_likelihood"
    return abs(likelihood[name]) / sqrt(images)


def error_of(estimate: EstimateRecord) -> float:
    """Return the Monte-Carlo error of an estimate; 0 of an exact one.

    Where that of L_K is not published, because it cannot be trusted, its jackknife takes its place,
    which is not as far off as any other number. A single draw has no jackknife. Its error over the
    data contains the Monte-Carlo error.
    """
    error = estimate.get("stderr")
    if error is None:
        error = estimate.get("stderr_untrusted")
    if error is None and estimate.get("samples"):
        error = estimate.get("stderr_data")
    return error or 0.0


def seeds_beside(row: pd.Series, runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of runs.csv of other seeds of the row under test, on the same split."""
    same = (runs["model"] == row["model"]) & (runs["task"] == row["task"])
    same &= (runs["split"] == row["split"]) & (runs["key"] != row["key"])
    return [dict(other) for other in runs[same].to_dict("records")]


def values_beside(beside: Sequence[dict[str, Any]], column: str) -> list[float]:
    """Return the values of a column for the seeds that ``seeds_beside`` returns."""
    return [float(other[column]) for other in beside if pd.notna(other[column])]


def variance_of(values: Sequence[float]) -> float:
    """Return the variance of a sample, 0 of one value; infinity where it overflows."""
    mean = sum(values) / len(values)
    return sum((value - mean) * (value - mean) for value in values) / max(len(values) - 1, 1)


def words_on(record: TableRecord, row: pd.Series, runs: pd.DataFrame, same_weights: bool) -> str:
    """Return in words what the tolerances of a run are made of."""
    found = [estimates_of(record, split) for split in SPLITS]
    bits = [estimates["bits_per_dim"] for estimates in found if estimates]
    text = "Monte-Carlo error"
    if any(estimate.get("stderr_untrusted") is not None for estimate in bits):
        text += " (where the tables have none, †, the jackknife's, which is a rough one)"
    elif any(estimate.get("stderr") is None and estimate.get("samples") for estimate in bits):
        text += " (of a single draw, the standard error over images)"
    if same_weights:
        return f"{text} alone, because the weights are the same"
    if not record.get("parameters"):
        return f"{text} alone, because nothing is trained"
    text += " and the usual spread of seeds"
    if beside := seeds_beside(row, runs):
        return f"{text}, with that of the row's {len(beside)} other published seed(s)"
    return f"{text}, which is wide, because the row has no other published seed"
