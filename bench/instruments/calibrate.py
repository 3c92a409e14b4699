"""`bench calibrate` compares every estimator with a known truth, over many repeats.

The 95 % intervals of an estimator must cover its own expectation in 92 to 98 % of the repeats in
which it gives a standard error. The expectation of an unbiased estimator is the truth; that of one
that is biased by construction differs from the truth on the side, and by as much, as an independent
simulation says. In 98 of 100 repeats the truth must lie between both bounds of a sandwich, up to their
errors. `bench verify` must let an honest repetition pass in 95 % of cases.
"""

import time
from functools import partial
from math import sqrt
from pathlib import Path
from typing import TypedDict

import pandas as pd
import torch
from torch import Tensor

from bench.instruments.evidence_truths import (
    evidence_instruments,
    hard_instruments,
)
from bench.instruments.gap_truths import gap_instruments
from bench.instruments.known_truths import (
    Expected,
    Instrument,
    elbo_instruments,
    sample_instruments,
    surgery_instruments,
)
from bench.instruments.mixed_truths import mixed_instruments
from bench.instruments.progress import PartProgress, split_progress
from bench.instruments.repetitions import Repetitions, repetitions
from bench.instruments.sandwich_truths import (
    INSIDE,
    Sandwiched,
    reverse_instruments,
    sandwiches,
)
from bench.instruments.toy_truths import toy_instruments
from bench.records.provenance import commit_label
from bench.records.tables import csv_text
from bench.settings import Progress
from bench.system.checkout import REPOSITORY
from bench.system.files import write_atomically
from bench.system.printing import say

COVERAGE = (0.92, 0.98)
# Least share of honest repetitions that pass `bench verify`.
PASSED = 0.95
# Tolerated bias of the mean over all repeats, in its standard errors.
TOLERATED_ERRORS = 4.0
# With fewer intervals their coverage is not measured.
FEWEST_INTERVALS = 50


class CalibrationRow(TypedDict):
    """A row of calibration.csv.

    Attributes:
        estimator: The estimator's name.
        setting: Model and sizes.
        truth: The number that is estimated.
        mean_estimate: Mean over the repeats, less the control variate where the instrument has one.
        bias: ``mean_estimate`` − ``truth``.
        bias_stderr: Standard error of the bias.
        expected: What theory says of the bias.
        expected_bias: Its size by an independent simulation, or by a series.
        expected_bias_stderr: Standard error of that simulation, or the last term of the series.
        coverage: Share of the 95 % intervals that cover truth + expected_bias, among the repeats
            with a standard error; None where fewer than 50 have one.
        empty: Share of the repeats in which the estimator gives no standard error, because it cannot
            be known.
        repeats: Number of repeats.
        calibrated: Whether bias and coverage are as expected.
    """

    estimator: str
    setting: str
    truth: float
    mean_estimate: float
    bias: float
    bias_stderr: float
    expected: Expected
    expected_bias: float
    expected_bias_stderr: float
    coverage: float | None
    empty: float
    repeats: int
    calibrated: bool


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Return the mean of independent values (n,) and its standard error."""
    return values.mean().item(), values.std().item() / sqrt(len(values))


def measure(instrument: Instrument, progress: PartProgress) -> CalibrationRow:
    """Repeat an estimator and return its row of calibration.csv."""
    estimates = []
    for repeat in range(instrument.repeats):
        progress(repeat / instrument.repeats, instrument.name)
        estimates.append(instrument.estimate(repeat))
    values = torch.tensor([e.value for e in estimates], dtype=torch.float64)
    errors = [e.stderr_data if instrument.population else e.stderr for e in estimates]
    controlled = values
    if instrument.control is not None:
        controls = [instrument.control(repeat) for repeat in range(instrument.repeats)]
        controlled = values - torch.tensor(controls, dtype=torch.float64)
    mean, bias_stderr = mean_and_error(controlled)
    bias = mean - instrument.truth
    expected, its_stderr = instrument.bias
    tolerated = TOLERATED_ERRORS * sqrt(bias_stderr**2 + its_stderr**2)
    is_right = abs(bias - expected) <= tolerated
    if instrument.expected != "unbiased":
        side = -bias if instrument.expected == "below" else bias
        is_right = is_right and side >= -TOLERATED_ERRORS * bias_stderr
    given = torch.tensor([error is not None for error in errors])
    coverage = None
    if given.sum() >= FEWEST_INTERVALS:
        stderr = torch.tensor([error for error in errors if error is not None]).double()
        inside = (values[given] - instrument.truth - expected).abs() <= 1.96 * stderr
        coverage = inside.double().mean().item()
        is_right = is_right and COVERAGE[0] <= coverage <= COVERAGE[1]
    return {
        "estimator": instrument.name,
        "setting": instrument.setting,
        "truth": instrument.truth,
        "mean_estimate": mean,
        "bias": bias,
        "bias_stderr": bias_stderr,
        "expected": instrument.expected,
        "expected_bias": expected,
        "expected_bias_stderr": its_stderr,
        "coverage": coverage,
        "empty": 1 - given.double().mean().item(),
        "repeats": instrument.repeats,
        "calibrated": is_right,
    }


def row_of_repetitions(found: Repetitions) -> CalibrationRow:
    """Return the row of honest repetitions: two seeds do not differ on average, and most pass.

    The intervals are the tolerances of all columns, so that coverage is the share that passes. It may
    be more than 98 %. A simulated share may be below 95 % by two of its standard errors.
    """
    count, passed = len(found.passed), sum(found.passed) / len(found.passed)
    bias, bias_stderr = mean_and_error(torch.tensor(found.differences, dtype=torch.float64))
    error = sqrt(PASSED * (1 - PASSED) / count) if found.is_simulated else 0.0
    return {
        "estimator": "verify, honest repetition",
        "setting": found.setting,
        "truth": 0.0,
        "mean_estimate": bias,
        "bias": bias,
        "bias_stderr": bias_stderr,
        "expected": "unbiased",
        "expected_bias": 0.0,
        "expected_bias_stderr": 0.0,
        "coverage": passed,
        "empty": 0.0,
        "repeats": count,
        "calibrated": passed >= PASSED - 2 * error and abs(bias) <= TOLERATED_ERRORS * bias_stderr,
    }


def row_of_sandwich(found: Sandwiched) -> CalibrationRow:
    """Return the row of a sandwich: the truth lies inside, up to errors, and each mean bound on its own side.

    ``mean_estimate`` is the mean gap, ``coverage`` the share of repeats with the truth between the
    bounds, each moved outwards by its error.
    """
    low, high = (torch.tensor(side, dtype=torch.float64) for side in (found.lower, found.upper))
    lower, lower_stderr = mean_and_error(low)
    upper, upper_stderr = mean_and_error(high)
    gap, gap_stderr = mean_and_error(high - low)
    inside = sum(found.inside) / len(found.inside)
    is_below = lower <= TOLERATED_ERRORS * lower_stderr
    is_above = upper >= -TOLERATED_ERRORS * upper_stderr
    return {
        "estimator": "sandwich of log p(x)",
        "setting": f"{found.setting}; lower {lower:+.3f}, upper {upper:+.3f} nats off the truth",
        "truth": 0.0,
        "mean_estimate": gap,
        "bias": gap,
        "bias_stderr": gap_stderr,
        "expected": "above",
        "expected_bias": upper - lower,
        "expected_bias_stderr": 0.0,
        "coverage": inside,
        "empty": 0.0,
        "repeats": len(found.inside),
        "calibrated": inside >= INSIDE and is_below and is_above,
    }


def expected_seconds(instrument: Instrument) -> float:
    """Return the time of all repeats, extrapolated from one."""
    started = time.perf_counter()
    instrument.estimate(0)
    return (time.perf_counter() - started) * instrument.repeats


def tell(row: CalibrationRow) -> None:
    """Print a row."""
    coverage = "" if row["coverage"] is None else f", coverage {row['coverage']:.1%}"
    empty = f", {row['empty']:.0%} empty" if row["empty"] else ""
    verdict = "calibrated" if row["calibrated"] else "NOT CALIBRATED"
    say(
        f"{verdict:14}  {row['estimator']:36} bias {row['bias']:+.5f} ± "
        f"{row['bias_stderr']:.5f} ({row['expected']}, by {row['expected_bias']:+.5f})"
        f"{coverage}{empty}; {row['setting']}"
    )


def calibrate(directory: Path, progress: Progress) -> pd.DataFrame:
    """Measure every instrument; write and return ``directory``/calibration.csv.

    Honest repetitions need published tables: an installed package without a repository has none, and
    simulates them from lognormal spreads alone.
    """
    torch.set_num_threads(1)
    groups = (
        elbo_instruments,
        surgery_instruments,
        evidence_instruments,
        hard_instruments,
        mixed_instruments,
        toy_instruments,
        gap_instruments,
        sample_instruments,
        reverse_instruments,
    )
    instruments = [instrument for group in groups for instrument in group()]
    weights = [expected_seconds(instrument) for instrument in instruments]
    parts = split_progress(partial(progress, "calibrate"), weights)
    rows = []
    for instrument, part in zip(instruments, parts):
        rows.append(measure(instrument, part))
        tell(rows[-1])
    for sandwiched in sandwiches():
        rows.append(row_of_sandwich(sandwiched))
        tell(rows[-1])
    for repeat in repetitions(REPOSITORY / "results"):
        rows.append(row_of_repetitions(repeat()))
        tell(rows[-1])
    table = pd.DataFrame(rows).assign(commit=commit_label())
    write_atomically(directory / "calibration.csv", csv_text(table))
    return table
