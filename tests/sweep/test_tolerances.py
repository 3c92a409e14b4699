"""Tolerances: honest repetitions pass, invented seeds do not help, and what a tolerance consists of."""

from copy import deepcopy
from functools import lru_cache
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest

from bench.instruments.repetitions import of_lognormal_spreads, of_normal_seeds, of_real_seeds
from bench.instruments.seed_spreads import fitted_degrees, fitted_scales, seed_rows
from bench.records.record import read_record
from bench.records.row import METRICS
from bench.records.tables import chosen_rows, read_runs
from bench.sweep.tolerances import (
    USUAL,
    Comparison,
    allowed,
    seeds_beside,
    tolerance,
    values_beside,
)

RESULTS = Path(__file__).parents[2] / "results"
MNIST = RESULTS / "mnist"
RUNS = chosen_rows(read_runs(MNIST / "runs.csv"), "task=mnist-dynamic model=gated_vae", "runs.csv")
KEY = RUNS["key"].iloc[0]
AGAIN = read_record(MNIST / "runs" / KEY / "record.json")
BITS = AGAIN["metrics"]["test"]["bits_per_dim"]
MEASURED = [name for name in METRICS if name in AGAIN["metrics"]["test"]]
rows = lru_cache(lambda: seed_rows(RESULTS))
nats = lambda others: tolerance(AGAIN, "test", "log_likelihood", others, False)
VALUE = AGAIN["metrics"]["test"]["log_likelihood"]["value"]


def test_the_same_weights_have_their_monte_carlo_error_alone():
    # half of 5 % for the headline: the 0.9875 quantile of a normal
    found = tolerance(AGAIN, "test", "bits_per_dim", (1.0, 9.0), True)
    assert found == pytest.approx(2.2414 * 2**0.5 * BITS["stderr"], abs=2e-6)
    assert tolerance(AGAIN, "test", "kl", (), True) < 0.15


def test_an_error_that_is_not_trusted_stands_for_one_that_is_unknown():
    record = deepcopy(AGAIN)
    bits = record["metrics"]["test"]["bits_per_dim"]
    bits |= {"stderr": None, "stderr_untrusted": 2 * BITS["stderr"]}
    found = tolerance(record, "test", "bits_per_dim", (), True)
    assert found == pytest.approx(2.2414 * 2**0.5 * 2 * BITS["stderr"], abs=2e-6)
    del bits["stderr_untrusted"]
    found = tolerance(record, "test", "bits_per_dim", (), True)
    assert found == pytest.approx(2.2414 * 2**0.5 * bits["stderr_data"], abs=2e-6)


def test_a_single_seed_has_the_usual_spread():
    found = {column: tolerance(AGAIN, "test", column, (), False) for column in MEASURED}
    # t(0.9875, 1) = 25.452 times √2 times 0.2 / √50000 of 85.17 nats; the error of 0.005 is nothing
    assert found["log_likelihood"] == pytest.approx(25.452 * 2**0.5 * 0.07618, abs=2e-3)
    assert found["bits_per_dim"] * 543.43 == pytest.approx(found["log_likelihood"], rel=2e-3)
    assert 5 < found["elbo"] < 7 and 5 < found["kl"] < 7 and found["mutual_information"] < 0.25
    # z(1 − 0.025 / 2 / others) · 16 usual ones limits the others
    assert found["marginal_kl"] == pytest.approx(1.5 * found["kl"], rel=0.01)
    assert found["log_n"] < 1e-4


def test_tolerance_is_a_prediction_interval_of_the_moderated_spread():
    value = BITS["value"]
    others = (value + 0.0002, value - 0.0002)
    usual = 0.2 * value / 50000**0.5
    # Two degrees of freedom of three seeds with the standard deviation 0.0002, beside the usual one.
    seeds = 6.2053 * ((usual**2 + 2 * 0.0002**2) / 3) ** 0.5  # t(0.9875, 2)
    expected = (2 * (seeds**2 + (2.2414 * BITS["stderr"]) ** 2)) ** 0.5
    found = tolerance(AGAIN, "test", "bits_per_dim", others, False)
    assert found == pytest.approx(expected, abs=2e-6)


def test_invented_seeds_widen_a_tolerance_up_to_a_fixed_spread():
    for column in ("kl", "bits_per_dim", "active_units", "sharpness"):
        single = tolerance(AGAIN, "test", column, (), False)
        for wild in (1e6, 1e200, inf, nan):
            invented = tolerance(AGAIN, "test", column, (wild, -wild), False)
            # 16 z(0.9875) / t(0.9875, 1) = 1.41
            assert invented <= 1.42 * single
        own = tolerance(AGAIN, "test", column, (), True)
        assert tolerance(AGAIN, "test", column, (1e6,), True) == own


def test_other_seeds_are_those_of_the_same_row_and_split():
    table = read_runs(RESULTS / "published" / "default" / "runs.csv")
    of_model = table[(table["model"] == "gaussian_vae") & (table["split"] == "test")]
    row = of_model[of_model["task"] == "digits-17"].iloc[0]
    values = values_beside(seeds_beside(row, table), "bits_per_dim")
    own = of_model[of_model["task"] == "digits-17"]["bits_per_dim"]
    assert sorted([*values, row["bits_per_dim"]]) == sorted(own) and len(values) == 2


def test_the_usual_spreads_are_fitted_to_all_published_rows():
    scales = fitted_scales(rows())
    for column, usual in USUAL.items():
        # One digit further is let pass, so that a new sweep does not need new constants.
        assert usual / 1.5 <= scales.get(column, usual) <= 1.5 * usual, column
    assert 0.7 < fitted_degrees(rows(), "log_likelihood", "test") < 2
    without = [row for row in rows() if row.sweep != "surgery"]
    assert fitted_degrees(without, "log_likelihood", "test") == inf


@pytest.mark.parametrize("published", [1, 2])
@pytest.mark.parametrize("sweep", ["published/default", "mnist", "fashion", "surgery"])
def test_published_seeds_pass_as_each_others_repetition(sweep, published):
    """By the spreads of all other sweeps."""
    found = of_real_seeds(rows(), sweep, published)
    assert len(found.passed) >= 12 and sum(found.passed) >= 0.95 * len(found.passed)


@pytest.mark.parametrize("published", [1, 2, 3])
def test_honest_repetitions_pass_whatever_their_spreads_are_drawn_from(published):
    # Three standard errors of the repeats about 0.95.
    for found in (
        of_normal_seeds(rows(), "surgery", published, 150),
        of_lognormal_spreads(published, 150),
    ):
        allowance = 3 * (0.95 * 0.05 / len(found.passed)) ** 0.5
        assert sum(found.passed) / len(found.passed) > 0.95 - allowance


def share_found(change, published):
    """The share of forged rows that fail: of honest seeds, one moved by so many nats.

    Seeds are normal with the standard deviation of the gated VAE's three on MNIST.
    """
    rng, headline = np.random.default_rng(published), Comparison(True, 37)
    usual, failed = USUAL["log_likelihood"] * 85.14 / 50000**0.5, 0
    for row, new, *others in 0.052 * rng.standard_normal((300, published + 1)):
        limit = allowed(usual, 0.0035, new, others, headline)
        failed += abs(row + change - new) > limit
    return failed / 300


def test_what_a_forger_gains_on_mnist():
    """With one published seed 2 nats pass, with three they do not, unless the others are invented too."""
    assert nats(()) == pytest.approx(2.74, abs=0.01)
    row = RUNS[(RUNS["split"] == "test") & (RUNS["key"] == KEY)].iloc[0]
    assert 0.4 < nats(values_beside(seeds_beside(row, RUNS), "log_likelihood")) < 0.7
    assert nats((VALUE + 1e6, VALUE - 1e6)) == pytest.approx(3.87, abs=0.02)
    assert share_found(2.0, 1) == 0 and share_found(4.0, 1) == 1
    assert share_found(2.0, 3) > 0.99 and 0.2 < share_found(0.45, 3) < 0.45
