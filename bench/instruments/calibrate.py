"""`bench calibrate`: every estimator against a known truth, repeated until its error shows.

An estimator that claims to be unbiased must have 95 % intervals that cover the truth in 92 to 98 %
of the repeats; one that is biased by construction must err to the side that theory says.
"""

import time
from collections.abc import Callable
from math import sqrt
from pathlib import Path

import pandas as pd
import torch

from bench.instruments.known_truths import (
    Instrument,
    elbo_instruments,
    evidence_instruments,
    sample_instruments,
    surgery_instruments,
    toy_instruments,
)
from bench.records.provenance import commit_label
from bench.system.files import write_atomically
from bench.system.printing import say

COVERAGE = (0.92, 0.98)
# How many standard errors an estimate that claims to be unbiased may be off over all repeats.
TOLERATED_ERRORS = 4.0


def measure(instrument: Instrument, tell: Callable[[float], None]) -> dict:
    """Repeat an estimator, telling what share is done; return its row of calibration.csv."""
    estimates = []
    for repeat in range(instrument.repeats):
        tell(repeat / instrument.repeats)
        estimates.append(instrument.estimate(repeat))
    values = torch.tensor([e.value for e in estimates], dtype=torch.float64)
    errors = [e.stderr_data if instrument.population else e.stderr for e in estimates]
    bias = values.mean().item() - instrument.truth
    bias_stderr = values.std().item() / sqrt(len(values))
    coverage = None
    if all(error is not None for error in errors):
        inside = (values - instrument.truth).abs() <= 1.96 * torch.tensor(errors).double()
        coverage = inside.double().mean().item()
    if instrument.expected == "unbiased":
        covered = coverage is not None and COVERAGE[0] <= coverage <= COVERAGE[1]
        calibrated = covered and abs(bias) <= TOLERATED_ERRORS * bias_stderr
    else:
        side = -bias if instrument.expected == "below" else bias
        calibrated = side >= -TOLERATED_ERRORS * bias_stderr
    return {
        "estimator": instrument.name,
        "setting": instrument.setting,
        "truth": instrument.truth,
        "mean_estimate": values.mean().item(),
        "bias": bias,
        "bias_stderr": bias_stderr,
        "expected": instrument.expected,
        "coverage": coverage,
        "repeats": instrument.repeats,
        "calibrated": calibrated,
    }


def cost_of(instrument: Instrument) -> float:
    """Return the seconds that one repeat tells of all."""
    started = time.perf_counter()
    instrument.estimate(0)
    return (time.perf_counter() - started) * instrument.repeats


def calibrate(directory: Path, report: Callable[[str, float, str], None]) -> pd.DataFrame:
    """Measure every instrument, telling ``report`` how far it is; write and return calibration.csv."""
    torch.set_num_threads(1)
    groups = (
        elbo_instruments,
        surgery_instruments,
        evidence_instruments,
        toy_instruments,
        sample_instruments,
    )
    instruments = [instrument for group in groups for instrument in group()]
    costs = [cost_of(instrument) for instrument in instruments]
    rows: list[dict] = []
    for number, instrument in enumerate(instruments):
        before, own, name = sum(costs[:number]), costs[number], instrument.name
        tell = lambda share, before=before, own=own, name=name: report(
            "calibrate", (before + own * share) / sum(costs), name
        )
        row = measure(instrument, tell)
        rows.append(row)
        share = "" if row["coverage"] is None else f", coverage {row['coverage']:.1%}"
        verdict = "calibrated" if row["calibrated"] else "NOT CALIBRATED"
        say(
            f"{verdict:14}  {row['estimator']:36} bias {row['bias']:+.5f} ± "
            f"{row['bias_stderr']:.5f}{share} ({row['expected']}; {row['setting']})"
        )
    table = pd.DataFrame(rows).assign(commit=commit_label())
    write_atomically(directory / "calibration.csv", table.to_csv(index=False, lineterminator="\n"))
    return table
