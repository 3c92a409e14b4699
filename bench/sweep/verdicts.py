"""Verdicts on cited runs that were run again: published numbers compared by tolerances.

What a tolerance consists of is in ``tolerances``.
"""

from dataclasses import dataclass, replace

import pandas as pd

from bench.records.row import (
    METRICS,
    bits_per_dim_stderr,
    bound_rise_stderr,
    device_of,
    estimates_of,
    population_stderr,
    row_of,
    values_of,
)
from bench.records.run_columns import DIAGNOSTICS, POPULATION_STDERR
from bench.records.types import Config, Environment, Record, TableRecord
from bench.settings import Split
from bench.sweep.environments import differences, is_same
from bench.sweep.tolerances import seeds_beside, tolerance, values_beside, words_on

# A Monte-Carlo error is itself an estimate. A published one may differ from the new by this factor.
ERROR_FACTOR = 2.0
NOT_SAME_SIZE = f"more than {ERROR_FACTOR:.0f} times as much or as little"
# Errors that are empty where they cannot be known.
MAY_BE_UNKNOWN = ("bits_per_dim_stderr", "bound_rise_stderr")
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
    unknown: list[str] = []
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
        found = compare_estimates(row, record, runs, same_weights)
        different, outside = different + found.different, outside + found.outside
        unknown += found.not_compared
    if different and cited.environment is not None and is_same(cited.environment, record):
        # With the same code and versions, on the same kind of machine, nothing may differ.
        outside = outside or different[:3]
    outcome = "outside" if outside else "within" if different else "identical"
    if record["status"] != "ok":
        outside.insert(0, f"failed: {record['reason']}")
    devices = (
        f"on {device_of(record['environment'])}; published on {cited.device or 'an unknown device'}"
    )
    if unknown:
        outside.append(f"not compared: {'; '.join(unknown)}")
    if different:
        words = words_on(record, cited.rows.iloc[0], runs, same_weights)
        outside.append(f"tolerances: {words}")
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


@dataclass
class Compared:
    """A row's estimates that differ from those of the new run, in words.

    Attributes:
        different: All of them.
        outside: Those outside their tolerances.
        not_compared: Cells that only one of the two has, although neither is wrong.
    """

    different: list[str]
    outside: list[str]
    not_compared: list[str]


def compare_estimates(
    row: pd.Series, record: TableRecord, runs: pd.DataFrame, same_weights: bool
) -> Compared:
    """Compare the estimates of a published row and their errors with those of the new run."""
    split: Split = row["split"]
    found = Compared([], [], [])
    errors = {
        "bits_per_dim_stderr": bits_per_dim_stderr(record, split),
        "bound_rise_stderr": bound_rise_stderr(record, split),
        POPULATION_STDERR.name: population_stderr(record, split),
    }
    # Tables that are older than a column have it empty in all rows.
    if runs[POPULATION_STDERR.name].isna().all():
        del errors[POPULATION_STDERR.name]
    now = values_of(record, split) | errors
    beside = seeds_beside(row, runs)
    is_older = pd.isna(row["effective_sample_size_median"]) and has_diagnostics(record, split)
    if is_older:
        found.not_compared.append(f"{split} diagnostics and errors, which the row is older than")
    for column in (*METRICS, *errors):
        old, new = row[column], now[column]
        if same_cell(old, new) or (is_older and column in (*DIAGNOSTICS, *errors)):
            continue
        words = f"{split} {column}: published {old!r}, now {new!r}"
        found.different.append(words)
        if column in MAY_BE_UNKNOWN and (pd.isna(old) or new is None):
            compare_unknown_error(old, record, split, column, found)
        elif pd.isna(old) or new is None:
            found.outside.append(words)
        elif column in errors:
            if not is_same_size(old, new):
                found.outside.append(f"{words}, {NOT_SAME_SIZE}")
        else:
            others = values_beside(beside, column)
            allowed = tolerance(record, split, column, others, same_weights)
            if not abs(new - old) <= allowed:
                found.outside.append(
                    f"{split} {column}: published {old:.6g}, now {new:.6g}, tolerance {allowed:.2g}"
                )
    return found


def compare_unknown_error(
    old: float, record: TableRecord, split: Split, column: str, found: Compared
) -> None:
    """Compare an error of L_K that is known on one side alone: the other has † in its tables.

    Whether it is known depends on a count of images, which another seed moves across its limit. So an
    empty cell is not a mistake, and the number itself is compared anyway. A published error where the
    new run has none must have the size of the one that the new run does not trust.

    Args:
        old: The published error; NaN where it is empty.
        record: The new run.
        split: train or test.
        column: The error.
        found: What was found in the row; this adds to it.
    """
    untrusted = untrusted_error(record, split, column)
    if pd.isna(old) or untrusted is None:
        has = "now" if pd.isna(old) else "published"
        found.not_compared.append(f"{split} {column}, which is only {has} known")
    elif not is_same_size(old, untrusted):
        words = f"{split} {column}: published {old!r}, now not known, and roughly {untrusted!r}"
        found.outside.append(f"{words}, {NOT_SAME_SIZE}")


def untrusted_error(record: TableRecord, split: Split, column: str) -> float | None:
    """Return the error that a run has computed and does not trust; None where there is none."""
    if column != "bits_per_dim_stderr":
        return None
    return estimates_of(record, split).get("bits_per_dim", {"value": 0.0}).get("stderr_untrusted")


def is_same_size(old: float, new: float) -> bool:
    """Tell whether two errors, which are estimates themselves, differ by ERROR_FACTOR at most."""
    return bool(new / ERROR_FACTOR <= old <= new * ERROR_FACTOR)


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
