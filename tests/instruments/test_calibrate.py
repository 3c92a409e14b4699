from dataclasses import replace
from math import sqrt
from statistics import mean, stdev

import numpy as np
import pandas as pd
import pytest

from bench.estimators.estimate import Estimate
from bench.instruments import (
    evidence_truths,
    known_truths,
    mixed_truths,
    sandwich_truths,
    toy_truths,
)
from bench.instruments.calibrate import (
    calibrate,
    measure,
    row_of_repetitions,
    row_of_sandwich,
)
from bench.instruments.expectations import (
    Expectation,
    bound_series,
    shifted_normal_moment,
    shifted_normal_ratio,
)
from bench.instruments.known_truths import Instrument, elbo_instruments
from bench.instruments.repetitions import Repetitions
from bench.instruments.sandwich_truths import Sandwiched
from bench.instruments.toy_truths import toy_evidence, toy_vae
from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.noise import Noise

silent = lambda share, text: None


def drawn(bias=0.0, stderr=1.0):
    """An estimate of 0 with error 1 and bias ``bias``, which reports the error ``stderr``."""
    return lambda r: Estimate(bias + Noise("x", r).normal(1, 1).item(), stderr, 1, 1)


@pytest.mark.parametrize(
    "estimate, expected, bias, calibrated",
    [
        (drawn(), "unbiased", 0.0, True),
        (drawn(bias=0.5), "unbiased", 0.0, False),
        (drawn(stderr=0.8), "unbiased", 0.0, False),
        (drawn(stderr=1.5), "unbiased", 0.0, False),
        (drawn(bias=-0.5), "below", -0.5, True),
        (drawn(bias=-0.5), "below", -0.2, False),  # the side is right, the size is not
        (drawn(bias=0.5), "below", 0.5, False),
        (drawn(bias=0.5), "above", 0.5, True),
        (drawn(bias=-0.5), "above", -0.5, False),
        (drawn(bias=-0.5, stderr=0.5), "below", -0.5, False),
    ],
)
def test_it_tells_good_instruments_from_bad(estimate, expected, bias, calibrated):
    instrument = Instrument("x", "", 0.0, estimate, expected, bias=Expectation(bias))
    assert measure(instrument, silent)["calibrated"] == calibrated


def test_a_simulated_bias_counts_with_its_own_error():
    biases = [Expectation(0.3, 0.1), Expectation(0.3, 0.01)]
    rows = [measure(Instrument("x", "", 0.0, drawn(), bias=bias), silent) for bias in biases]
    assert [row["calibrated"] for row in rows] == [True, False]
    assert [row["expected_bias_stderr"] for row in rows] == [0.1, 0.01]


@pytest.mark.parametrize("stderr, stderr_data, coverage", [(1.0, 0.5, 0.95), (0.5, 1.0, 0.67)])
def test_the_error_under_test_is_the_instruments(stderr, stderr_data, coverage):
    """An instrument for the population tests the error over data, every other one the Monte-Carlo error."""
    estimate = lambda r: drawn(stderr=stderr)(r)._replace(stderr_data=stderr_data)
    for population, expected in ((False, coverage), (True, 0.95 + 0.67 - coverage)):
        row = measure(Instrument("x", "", 0.0, estimate, population=population), silent)
        assert row["coverage"] == pytest.approx(expected, abs=0.03)


def test_empty_errors_are_counted_and_not_covered():
    """Coverage is that of the repeats that give an error, whose share the table holds."""
    some = lambda r: drawn()(r)._replace(stderr=1.0 if r % 4 else None)
    row = measure(Instrument("x", "", 0.0, some), silent)
    assert row["empty"] == 0.25 and row["calibrated"] and 0.92 < row["coverage"] < 0.98
    row = measure(Instrument("x", "", 0.0, lambda r: drawn()(r)._replace(stderr=None)), silent)
    assert row["empty"] == 1 and row["coverage"] is None
    # Of a handful of intervals no coverage is measured.
    rare = lambda r: drawn()(r)._replace(stderr=None if r % 50 else 1e-9)
    row = measure(Instrument("x", "", 0.0, rare), silent)
    assert row["empty"] == 0.98 and row["coverage"] is None and row["calibrated"]


def test_a_control_variate_leaves_the_bias_and_takes_the_spread():
    own = lambda r: drawn()(r).value
    instrument = Instrument("x", "", 0.0, drawn(bias=-1e-3), "below", bias=Expectation(-1e-3, 1e-9))
    row = measure(replace(instrument, control=own), silent)
    assert row["bias"] == pytest.approx(-1e-3) and row["bias_stderr"] < 1e-9
    assert row["calibrated"] and row["coverage"] == measure(instrument, silent)["coverage"]


SHIFTS = np.array([0.3, -0.7])


def test_the_bias_of_many_draws_is_tested_in_sign_and_size():
    """It is far below the spread of the estimate, and still neither a wrong sign nor half of it passes."""
    model = LinearGaussianVAE(shift=0.3, stretch=1.4)
    shifts = (model.shift / model.posterior_variance.sqrt()).numpy()
    large = evidence_truths.large_sample_instrument(model, model.data(20), shifts, "")
    instrument = replace(large, repeats=25)
    for factor, calibrated in ((1, True), (-1, False), (2, False), (0.5, False), (0, False)):
        bias = Expectation(factor * instrument.bias.value, instrument.bias.stderr)
        assert measure(replace(instrument, bias=bias), silent)["calibrated"] == calibrated
    assert instrument.bias.value == pytest.approx(-0.000159, abs=1e-6)


def test_the_series_of_the_bias_is_what_a_paired_simulation_finds():
    moments = [shifted_normal_moment(m, 1.4, SHIFTS) for m in (1, 2, 3)]
    weights = np.exp(
        shifted_normal_ratio(100, 1.4, SHIFTS)(np.random.Generator(np.random.Philox(3)), 20_000)
    )
    assert moments[0] == pytest.approx(1)
    for power, moment in zip((2, 3), moments[1:]):
        assert (weights**power).mean() == pytest.approx(moment, rel=0.02)
    differences = np.log(weights.mean(1)) - (weights.mean(1) - 1)
    error = differences.std() / sqrt(len(differences))
    series = bound_series(100, (moments[1], moments[2]))
    assert abs(differences.mean() - series.value) < 4 * error + 0.2 * series.stderr
    assert error < -series.value / 50 and series.stderr < -series.value / 50
    with pytest.raises(ValueError, match="infinite"):
        shifted_normal_moment(3, 0.5, SHIFTS)


def test_it_measures_and_writes_its_table(tmp_path, monkeypatch, capsys):
    few = lambda: (replace(i, repeats=60) for i in elbo_instruments())
    none = lambda: ()
    monkeypatch.setattr("bench.instruments.calibrate.elbo_instruments", few)
    for group in ("surgery", "evidence", "hard", "mixed", "toy", "gap", "sample"):
        monkeypatch.setattr(f"bench.instruments.calibrate.{group}_instruments", none)
    monkeypatch.setattr("bench.instruments.calibrate.repetitions", lambda results: ())
    monkeypatch.setattr("bench.instruments.calibrate.reverse_instruments", none)
    monkeypatch.setattr("bench.instruments.calibrate.sandwiches", none)
    reports = []
    table = calibrate(tmp_path, lambda *report: reports.append(report))
    assert capsys.readouterr().out.count(" bias ") == len(table) == 4
    assert table["coverage"].between(0.8, 1).all()
    shares = [share for _, share, _ in reports]
    assert len(reports) == 4 * 60 and shares == sorted(shares) and 0 == shares[0] < shares[-1] < 1
    assert list(pd.read_csv(tmp_path / "calibration.csv")["estimator"]) == list(table["estimator"])


@pytest.mark.parametrize(
    "passed, difference, is_simulated, calibrated",
    [
        (95, 0.0, False, True),
        (94, 0.0, False, False),
        (94, 0.0, True, True),  # within two standard errors of 100 repeats
        (90, 0.0, True, False),
        (100, 0.0, False, True),
        (100, 1.0, False, False),  # the published number is better than the new one
    ],
)
def test_repetitions_must_pass_and_not_differ_on_average(
    passed, difference, is_simulated, calibrated
):
    differences = [difference + (1 if number % 2 else -1) for number in range(100)]
    found = Repetitions("x", differences, [True] * passed + [False] * (100 - passed), is_simulated)
    row = row_of_repetitions(found)
    assert row["calibrated"] == calibrated and row["coverage"] == passed / 100
    assert row["bias"] == difference and row["repeats"] == 100


@pytest.mark.parametrize(
    "lower, upper, inside, calibrated",
    [
        (-1.0, 1.0, 98, True),
        (-1.0, 1.0, 97, False),
        (0.5, 1.0, 100, False),  # the lower bound is above the truth
        (-1.0, -0.5, 100, False),  # the upper bound is below it
    ],
)
def test_a_sandwich_must_hold_the_truth_between_its_bounds(lower, upper, inside, calibrated):
    spread = [0.1 if number % 2 else -0.1 for number in range(100)]
    lowers, uppers = ([bound + own for own in spread] for bound in (lower, upper))
    found = Sandwiched("x", lowers, uppers, [True] * inside + [False] * (100 - inside))
    row = row_of_sandwich(found)
    assert row["calibrated"] == calibrated and row["coverage"] == inside / 100
    assert row["mean_estimate"] == pytest.approx(upper - lower) and row["repeats"] == 100


GROUPS = (
    (known_truths, "surgery"),
    (known_truths, "sample"),
    (known_truths, "elbo"),
    (evidence_truths, "evidence"),
    (evidence_truths, "hard"),
    (mixed_truths, "mixed"),
    (toy_truths, "toy"),
    (sandwich_truths, "reverse"),
)


@pytest.fixture
def short_simulations(monkeypatch):
    monkeypatch.setattr(evidence_truths, "SIMULATIONS", 500)
    monkeypatch.setattr(toy_truths, "SIMULATIONS", 500)
    monkeypatch.setattr(mixed_truths, "SIMULATIONS", 500)
    monkeypatch.setattr(evidence_truths, "PIXEL_SIMULATIONS", 200)


@pytest.mark.parametrize("module, group", GROUPS)
def test_each_estimate_is_near_its_expectation(module, group, short_simulations):
    """One repeat of every instrument shows a wrong truth or estimator; an instrument without a
    standard error is repeated."""
    for instrument in getattr(module, f"{group}_instruments")():
        estimate = instrument.estimate(0)
        value = estimate.value
        error = estimate.stderr_data if instrument.population else estimate.stderr
        if error is None:
            values = [instrument.estimate(repeat).value for repeat in range(20)]
            value, error = mean(values), stdev(values) / sqrt(20)
        allowed = 5 * sqrt(error**2 + instrument.bias.stderr**2)
        assert abs(value - instrument.truth - instrument.bias.value) < allowed, instrument
        if instrument.expected == "unbiased":
            assert instrument.bias.value == 0
        else:
            side = -1 if instrument.expected == "below" else 1
            assert side * instrument.bias.value > -4 * instrument.bias.stderr, instrument


def test_a_hard_instrument_is_calibrated_and_the_delta_method_is_not(short_simulations):
    """Forty latent dimensions and a narrow q: effective sample sizes near 2."""
    first = next(evidence_truths.hard_instruments())
    assert "40-D" in first.setting
    values, errors = [], []
    for repeat in range(40):
        estimate = first.estimate(repeat)
        values.append(estimate.value)
        errors.append(estimate.stderr)
    assert mean(errors) == pytest.approx(stdev(values), rel=0.4)
    assert mean(errors) > 1.2 / sqrt(200)  # the delta method's error is at most 1/√n


def test_mixed_instruments_leave_empty_what_a_few_images_make(short_simulations):
    """One or three outlying images among hundreds make the error; thirty or twenty milder ones do not."""
    empty = [i.estimate(0).stderr is None for i in mixed_truths.mixed_instruments()]
    assert empty == [True, True, False, False, False]


def test_the_toys_masses_sum_to_one():
    assert toy_evidence(toy_vae()).exp().sum().item() == pytest.approx(1, abs=1e-9)
