"""Verdicts on cited runs that were run again: published numbers compared by tolerances.

A publisher can write anything into a table and its records, so a tolerance never comes from the row
under test. Its Monte-Carlo part comes from the new run. The spread over the other published seeds
counts up to a limit that is fixed here.
"""

from dataclasses import dataclass, replace
from math import isfinite, sqrt

import pandas as pd

from bench.records.columns import DIAGNOSTICS
from bench.records.row import (
    METRICS,
    bits_per_dim_stderr,
    bound_rise_stderr,
    device_of,
    estimates_of,
    row_of,
    values_of,
)
from bench.records.types import Config, Environment, EstimateRecord, Record, TableRecord
from bench.settings import Split
from bench.sweep.environments import differences, is_same

# Relative difference of float64 sums between machines with different instructions.
ROUNDING = 1e-6
# Largest difference between seeds, as a share of the new run's |log_likelihood|. Among the published
# models (three seeds, 8 × 8 digits) the largest spreads of bits/dim and of the terms in nats have
# standard deviations of 1.6 % and 2.3 %; two runs differ by 1.96 √2 times that: 4.5 % and 6.4 %.
# On MNIST they are below 0.1 %, and the published interval decides.
MOST_OF_LIKELIHOOD = 0.05
# The same for other columns, in latent dimensions and in the data's sharpness.
MOST = {"active_units": 3.0}
MOST |= {f"sharpness{of}": 0.05 for of in ("", "_aggregate", "_reconstruction")}
# The same for diagnostics of L_K: shares of data, and a share of the new effective sample size.
MOST |= {"effective_sample_size_below_10": 0.2, "pareto_k_above_threshold": 0.2}
MOST_OF_SIZE = 0.5
# Rounding moves a datum over a threshold, and the effective sample size by the weights' rounding.
ROUNDING_OF_DIAGNOSTIC = 0.01
# A Monte-Carlo error is itself an estimate. A published one may differ from the new by this factor.
ERROR_FACTOR = 2.0
# Columns other than estimates. Each must be the same for the new run.
FACTS = (
    "key", "task", "model", "decoder", "prior", "seed", "split", "status", "dimensions", "levels",
    "n", "parameters", "importance_samples", "beta", "importance_data", "config_sha256",
)  # fmt: skip
GOOD = ("identical", "within")


@dataclass(frozen=True)
class Verdict:
    """The verdict on one run.

    Attributes:
        key: The run.
        label: Task, model and seed.
        outcome: identical: every number agrees to the last bit; within: in another environment, all
            numbers are within the tolerances; outside: some are not; changed: data or configuration
            differ from the published ones; altered: table, record and commit contradict each other;
            or dirty: the code differed from its commit. In the last three cases nothing is run.
        reasons: The differences: numbers outside the tolerances, or what has changed.
        devices: The kind of device it was run on now, and the published one; empty where it was not.
    """

    key: str
    label: str
    outcome: str
    reasons: tuple[str, ...] = ()
    devices: str = ""

    @property
    def is_good(self) -> bool:
        return self.outcome in GOOD


@dataclass(frozen=True)
class Cited:
    """A run as it was published.

    Attributes:
        key: The run.
        rows: Its rows of runs.csv, as ``read_runs`` returns them.
        config: Its configuration, if that is known.
        record: Its record, if there is one.
        model: The name of its model in tables, according to the record or else to the sweep; None if
            there is neither.
    """

    key: str
    rows: pd.DataFrame
    config: Config | None
    record: Record | None
    model: str | None

    @property
    def label(self) -> str:
        first = self.rows.iloc[0]
        return f"{first['task']} {first['model']} seed {first['seed']}"

    @property
    def device(self) -> str | None:
        """The kind of device of the published run, by its record or else its row; None if not known."""
        if self.environment is not None:
            return device_of(self.environment)
        cell = self.rows["device"].iloc[0]
        return None if pd.isna(cell) else str(cell)

    @property
    def environment(self) -> Environment | None:
        return None if self.record is None else self.record["environment"]


def tolerance(
    record: TableRecord, split: Split, column: str, others: list[float], same_weights: bool
) -> float:
    """Return the largest allowed difference of a published estimate to the new one.

    Nothing of the published row enters. Monte-Carlo estimates may differ by 1.96 · √2 · standard
    error of the new run, which has the published number of samples and data. A training that is
    repeated elsewhere is like another seed. It may also differ by the 95 % prediction interval of one
    more seed, t · s · √(1 + 1/n), where s is the standard deviation of the n values that consist of
    the others and the new one; but by at most a fixed share of the new run's log-likelihood, because
    the others come from the same publisher. With a single seed the spread is unknown: the tolerance
    of bits/dim and log-likelihood is their Monte-Carlo error alone, that of other estimates also has
    the fixed share.

    Args:
        record: The new run.
        split: train or test.
        column: The estimate; it is in the record.
        others: The published values for other seeds of the same task and model.
        same_weights: Nothing was trained again, so that seeds do not matter.
    """
    from scipy.stats import t

    metrics = record["metrics"][split]
    value, error = metrics[column]["value"], error_of(metrics[column])
    allowed = ROUNDING * max(1.0, abs(value)) + 1.96 * sqrt(2) * error
    if column in DIAGNOSTICS:
        allowed += ROUNDING_OF_DIAGNOSTIC * max(1.0, abs(value))
    if same_weights or not record["parameters"]:
        return allowed
    most = MOST.get(column, MOST_OF_LIKELIHOOD * likelihood_of(metrics, column))
    most = MOST_OF_SIZE * value if column == "effective_sample_size_median" else most
    seeds = pd.Series([value, *(other for other in others if isfinite(other))])
    if len(seeds) == 1:
        return allowed + (0.0 if column in ("bits_per_dim", "log_likelihood") else most)
    quantile = float(t.ppf(0.975, len(seeds) - 1))
    return allowed + min(most, quantile * float(seeds.std()) * sqrt(1 + 1 / len(seeds)))


def error_of(estimate: EstimateRecord) -> float:
    """Return the Monte-Carlo error of an estimate; 0 of an exact one.

    Where that of L_K cannot be known, the error over the data takes its place, which contains it.
    """
    error = estimate.get("stderr")
    if error is None and estimate.get("samples"):
        error = estimate.get("stderr_data")
    return error or 0.0


def likelihood_of(metrics: dict[str, EstimateRecord], column: str) -> float:
    """Return the magnitude of a run's log-likelihood in the unit of a column: bits/dim or nats."""
    name = "bits_per_dim" if column == "bits_per_dim" else "log_likelihood"
    return abs(metrics[name]["value"])


def judge(cited: Cited, record: TableRecord, runs: pd.DataFrame, same_weights: bool) -> Verdict:
    """Compare a run's new record with its published rows.

    Args:
        cited: The published run.
        record: The new run.
        runs: The whole runs.csv.
        same_weights: Nothing was trained again.
    """
    different: list[str] = []
    outside: list[str] = []
    for _, row in cited.rows.iterrows():
        again = row_of(record, str(row["sweep"]), row["split"])
        outside += [
            f"{row['split']} {name}: published {row[name]}, now {again[name]}"
            for name in FACTS
            if not same_cell(row[name], again[name])
        ]
        hashes = again["data_sha256"], again["payload_sha256"]
        if not has_same_data(row, *hashes):
            outside.append(f"{row['split']} data: published {row['data_sha256']}, now {hashes[0]}")
        # Early stopping may end elsewhere after other epochs, but not beyond the configured number.
        if not same_weights and not same_cell(row["epochs"], again["epochs"]):
            longest = record["config"]["trainer"]["max_epochs"] if record.get("parameters") else -1
            is_possible = pd.notna(row["epochs"]) and 0 < row["epochs"] <= longest
            words = f"{row['split']} epochs: published {row['epochs']}, now {again['epochs']}"
            (different if is_possible else outside).append(words)
        numbers, wrong = compare_estimates(row, record, runs, same_weights)
        different, outside = different + numbers, outside + wrong
    if different and cited.environment is not None and is_same(cited.environment, record):
        # With the same code and versions, on the same kind of machine, nothing may differ.
        outside = outside or different[:3]
    outcome = "outside" if outside else "within" if different else "identical"
    if record["status"] != "ok":
        outside.insert(0, f"failed: {record['reason']}")
    devices = (
        f"on {device_of(record['environment'])}; published on {cited.device or 'an unknown device'}"
    )
    verdict = Verdict(cited.key, cited.label, outcome, tuple(outside), devices)
    return with_environment(verdict, cited, record)


def has_same_data(row: pd.Series, images: object, payload: object) -> bool:
    """Tell whether a published row names these hashes of images, and of payloads and splits.

    A row older than the hash of the images has that of payloads and splits as its ``data_sha256``, and
    no ``payload_sha256``.
    """
    if pd.isna(row["payload_sha256"]):
        return bool(row["data_sha256"] == payload)
    is_older = row["data_sha256"] == row["payload_sha256"]
    return bool(row["payload_sha256"] == payload and (is_older or row["data_sha256"] == images))


def compare_estimates(
    row: pd.Series, record: TableRecord, runs: pd.DataFrame, same_weights: bool
) -> tuple[list[str], list[str]]:
    """Return, in words, a row's estimates that differ, and those outside the tolerances."""
    split: Split = row["split"]
    different, outside = [], []
    errors = {
        "bits_per_dim_stderr": bits_per_dim_stderr(record, split),
        "bound_rise_stderr": bound_rise_stderr(record, split),
    }
    now = values_of(record, split) | errors
    others = runs[
        (runs["task"] == row["task"])
        & (runs["model"] == row["model"])
        & (runs["split"] == split)
        & (runs["key"] != row["key"])
    ]
    is_older = pd.isna(row["effective_sample_size_median"]) and has_diagnostics(record, split)
    for column in (*METRICS, *errors):
        old, new = row[column], now[column]
        if same_cell(old, new) or (is_older and column in (*DIAGNOSTICS, *errors)):
            continue
        words = f"{split} {column}: published {old!r}, now {new!r}"
        different.append(words)
        if pd.isna(old) or new is None:
            outside.append(words)
        elif column in errors:
            if not new / ERROR_FACTOR <= old <= new * ERROR_FACTOR:
                outside.append(f"{words}, more than {ERROR_FACTOR:.0f} times as much or as little")
        else:
            published = others[column].dropna().tolist()
            allowed = tolerance(record, split, column, published, same_weights)
            if not abs(new - old) <= allowed:
                outside.append(
                    f"{split} {column}: published {old:.6g}, now {new:.6g}, tolerance {allowed:.2g}"
                )
    return different, outside


def has_diagnostics(record: TableRecord, split: Split) -> bool:
    """Tell whether a run's L_K has diagnostics; a row without them is older, its error another one."""
    return "effective_sample_size_median" in estimates_of(record, split)


def same_cell(old: object, new: object) -> bool:
    """Tell whether a published cell equals the new one; a new empty cell is None."""
    return new is None if pd.isna(old) else new is not None and bool(old == new)


def with_environment(verdict: Verdict, cited: Cited, record: TableRecord) -> Verdict:
    """Add to a verdict the differences between the published environment and this one."""
    if verdict.outcome == "identical":
        return verdict
    if cited.environment is None:
        text = "environment: no record to compare with"
    else:
        text = "; ".join(differences(cited.environment, record))
        text = f"environment: {text or 'the same, as far as it is recorded'}"
    return replace(verdict, reasons=(*verdict.reasons, text))
