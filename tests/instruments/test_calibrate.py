from dataclasses import replace
from math import sqrt
from statistics import mean, stdev

import pandas as pd
import pytest

from bench.estimators.estimate import Estimate
from bench.instruments import known_truths
from bench.instruments.calibrate import calibrate, measure
from bench.instruments.known_truths import Instrument, elbo_instruments, toy_evidence, toy_vae
from bench.noise import Noise

silent = lambda share, text: None


def drawn(bias=0.0, stderr=1.0):
    """An estimate of 0 with error 1 and bias ``bias``, which reports the error ``stderr``."""
    return lambda r: Estimate(bias + Noise("x", r).normal(1, 1).item(), stderr, 1, 1)


@pytest.mark.parametrize(
    "estimate, expected, calibrated",
    [
        (drawn(), "unbiased", True),
        (drawn(bias=0.5), "unbiased", False),
        (drawn(stderr=0.8), "unbiased", False),
        (drawn(stderr=1.5), "unbiased", False),
        (drawn(bias=-0.5), "below", True),
        (drawn(bias=0.5), "below", False),
        (drawn(bias=0.5), "above", True),
        (drawn(bias=-0.5), "above", False),
    ],
)
def test_it_tells_good_instruments_from_bad(estimate, expected, calibrated):
    row = measure(Instrument("x", "", 0.0, estimate, expected), silent)
    assert row["calibrated"] == calibrated


def test_it_measures_and_writes_its_table(tmp_path, monkeypatch, capsys):
    few = lambda: (replace(i, repeats=60) for i in elbo_instruments())
    none = lambda: ()
    monkeypatch.setattr("bench.instruments.calibrate.elbo_instruments", few)
    for group in ("surgery", "evidence", "toy", "sample"):
        monkeypatch.setattr(f"bench.instruments.calibrate.{group}_instruments", none)
    reports = []
    table = calibrate(tmp_path, lambda *report: reports.append(report))
    assert capsys.readouterr().out.count(" bias ") == len(table) == 4
    assert table["coverage"].between(0.8, 1).all()
    shares = [share for _, share, _ in reports]
    assert len(reports) == 4 * 60 and shares == sorted(shares) and 0 == shares[0] < shares[-1] < 1
    assert list(pd.read_csv(tmp_path / "calibration.csv")["estimator"]) == list(table["estimator"])


GROUPS = ("elbo", "surgery", "evidence", "toy", "sample")


@pytest.mark.parametrize("group", GROUPS)
def test_each_estimate_is_near_its_truth_or_on_the_side_that_theory_says(group):
    """One repeat of every instrument shows a wrong truth or estimator; an instrument without a
    standard error is repeated."""
    for instrument in getattr(known_truths, f"{group}_instruments")():
        estimate = instrument.estimate(0)
        value = estimate.value
        error = estimate.stderr_data if instrument.population else estimate.stderr
        if error is None:
            values = [instrument.estimate(repeat).value for repeat in range(20)]
            value, error = mean(values), stdev(values) / sqrt(20)
        if instrument.expected != "above":
            assert value < instrument.truth + 4 * error, instrument
        if instrument.expected != "below":
            assert value > instrument.truth - 4 * error, instrument


def test_the_toys_masses_sum_to_one():
    assert toy_evidence(toy_vae()).exp().sum().item() == pytest.approx(1, abs=1e-9)
