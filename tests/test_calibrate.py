from dataclasses import replace

import pandas as pd
import pytest

from bench.calibrate import (
    Instrument,
    calibrate,
    elbo_instruments,
    measure,
    toy_evidence,
    toy_vae,
)
from bench.estimators.estimate import Estimate
from bench.noise import Noise


def drawn(bias=0.0, told=1.0):
    """An estimate of 0 with standard error 1, off by ``bias``, that claims the error ``told``."""
    return lambda r: Estimate(bias + Noise("x", r).normal(1, 1).item(), told, 1, 1)


@pytest.mark.parametrize(
    "estimate, expected, calibrated",
    [
        (drawn(), "unbiased", True),
        (drawn(bias=0.5), "unbiased", False),
        (drawn(told=0.8), "unbiased", False),
        (drawn(told=1.5), "unbiased", False),
        (drawn(bias=-0.5), "below", True),
        (drawn(bias=0.5), "below", False),
        (drawn(bias=0.5), "above", True),
        (drawn(bias=-0.5), "above", False),
    ],
)
def test_it_tells_good_instruments_from_bad(estimate, expected, calibrated):
    row = measure(Instrument("x", "", 0.0, estimate, expected))
    assert row["calibrated"] == calibrated


def test_it_measures_and_writes_its_table(tmp_path, monkeypatch):
    few = lambda: (replace(i, repeats=60) for i in elbo_instruments())
    none = lambda: ()
    monkeypatch.setattr("bench.calibrate.elbo_instruments", few)
    for group in ("surgery", "evidence", "toy", "sample"):
        monkeypatch.setattr(f"bench.calibrate.{group}_instruments", none)
    lines = []
    table = calibrate(tmp_path, lines.append)
    assert len(lines) == len(table) == 4 and table["coverage"].between(0.8, 1).all()
    assert list(pd.read_csv(tmp_path / "calibration.csv")["estimator"]) == list(table["estimator"])


def test_the_toys_masses_sum_to_one():
    assert toy_evidence(toy_vae()).exp().sum().item() == pytest.approx(1, abs=1e-9)
