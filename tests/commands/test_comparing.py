"""`bench compare`: two runs or rows side by side."""

from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import ttest_rel

import bench
from bench.__main__ import main
from bench.report.side_by_side import (
    Difference,
    Side,
    decimals_of,
    differences,
    options_that_differ,
)

RESULTS = Path(bench.__file__).parents[1] / "results"
RUNS = pd.read_csv(RESULTS / "mnist" / "runs.csv")
TASK = "task=mnist-dynamic"


def side(model: str, *seeds: int) -> Side:
    rows = RUNS[(RUNS["task"] == "mnist-dynamic") & (RUNS["model"] == model)]
    return Side(RESULTS / "mnist", rows[rows["seed"].isin(seeds)])


def test_differences_of_rows_are_paired_over_shared_seeds():
    first, second = side("gated_vae", 1, 2, 3), side("gated_vamp_vae", 3, 2, 1)
    found = {one.name: one for one in differences(first, second, "test")}
    columns = [
        one.rows[one.rows["split"] == "test"].sort_values("seed")["log_likelihood"]
        for one in (first, second)
    ]
    expected = ttest_rel(*reversed(columns))
    low, high = expected.confidence_interval()
    gain = found["log_likelihood"]
    assert (gain.low, gain.high) == pytest.approx((low, high))
    assert gain.difference == pytest.approx(gain.second - gain.first)
    assert gain.low > 0 and found["marginal_kl"].high < 0


def test_of_single_runs_the_interval_has_the_monte_carlo_errors():
    first, second = side("gated_vae", 1), side("gated_vae", 2)
    found = {one.name: one for one in differences(first, second, "test")}
    gain = found["bits_per_dim"]
    errors = [
        one.rows.loc[one.rows["split"] == "test", "bits_per_dim_stderr"].item()
        for one in (first, second)
    ]
    if any(map(pd.isna, errors)):
        assert gain.low is None
    else:
        assert gain.high - gain.low == pytest.approx(2 * 1.96 * sum(e**2 for e in errors) ** 0.5)
    assert found["elbo"].low is None  # no error of it is in runs.csv


@pytest.mark.parametrize(
    "name, half, decimals",
    [("elbo", 1.5, 1), ("elbo", 15.0, 0), ("bits_per_dim", 2e-5, 6), ("kl", None, 2), ("kl", 0, 2)],
)
def test_numbers_show_two_digits_of_their_interval(name, half, decimals):
    ends = (None, None) if half is None else (1 - half, 1 + half)
    assert decimals_of(Difference(name, 2, 3, 1, *ends)) == decimals


def test_options_that_differ_are_those_of_the_records():
    names = [
        name for name, _, _ in options_that_differ(side("gated_vae", 1), side("gated_vamp_vae", 1))
    ]
    assert "model.prior" in names and "seed" not in names
    assert options_that_differ(side("gated_vae", 1), side("gated_vae", 2)) == []


def test_it_prints_both_sides(capsys):
    assert (
        main(
            [
                "compare",
                f"{TASK} model=gated_vae",
                f"{TASK} model=gated_vamp_vae",
                "--results",
                str(RESULTS),
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "first:  mnist-dynamic, gated_vae, seed 1, 2, 3" in said
    assert "model.prior" in said and "paired over 3 shared seeds" in said


@pytest.mark.parametrize(
    "keys, line",
    [
        ([f"{TASK} model=gated_vae"], "takes two runs or rows, not 1"),
        ([f"{TASK} model=gated_vae"] * 2, "both are the same run"),
        (
            [f"{TASK} model=gated_vae", "task=mnist-256 model=gated_vae"],
            "of the tasks mnist-dynamic and mnist-256",
        ),
        ([TASK, f"{TASK} model=gated_vae"], "rows match"),
        (["nothing", f"{TASK} model=gated_vae"], "no row of"),
    ],
)
def test_what_cannot_be_compared_gets_one_line(keys, line, capsys):
    words = [f"{key} sweep=mnist" if "task" in key else key for key in keys]
    assert main(["compare", *words, "--results", str(RESULTS)]) == 2
    errors = [one for one in capsys.readouterr().err.splitlines() if one.startswith("bench: error")]
    assert len(errors) == 1 and line in errors[0]
