from math import log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import genpareto

from bench.estimators.diagnostics import (
    FEWEST_DATA,
    FEWEST_EFFECTIVE_DATA,
    bound_estimates,
    effective_data,
    error_is_known,
)
from bench.estimators.weights import (
    WeightedBound,
    bound_variance,
    pareto_smoothed,
    pareto_threshold,
    tail_length,
    weighted_bound,
)


def normal_weights(scale, k=1000, n=50, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(k, n, generator=generator, dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(
    k=st.integers(2, 9),
    scale=st.sampled_from([0.0, 1.0, 50.0, 1e4]),
    offset=st.sampled_from([-1e5, 0.0, 300.0]),
)
def test_value_error_and_diagnostics_are_those_of_their_definitions(k, scale, offset):
    log_weights = offset + normal_weights(scale, k, 3)
    bound = weighted_bound(log_weights)
    mean = lambda part: part.logsumexp(0) - log(len(part))
    without = torch.stack(
        [mean(torch.cat([log_weights[:i], log_weights[i + 1 :]])) for i in range(k)]
    )
    spread = (without - without.mean(0)).square().sum(0) * (k - 1) / k
    shares = log_weights.softmax(0)
    halves = [log_weights[: k // 2], log_weights[k // 2 :]]
    rise = mean(log_weights) - sum(len(half) / k * mean(half) for half in halves)
    close = lambda a, b: torch.testing.assert_close(a, b, atol=1e-8, rtol=1e-6)
    close(bound.value, mean(log_weights))
    close(bound.variance, spread)
    close(bound.effective_sample_size, 1 / shares.square().sum(0))
    close(bound.rise, rise)
    close(bound_variance(log_weights), spread)
    assert (bound.rise >= 0).all() and bound.pareto_k.isnan().all()
    assert bound.smoothed_variance.isnan().all()


def test_the_error_has_no_ceiling():
    """Where one weight is the whole sum, the delta method gives 1 nat² however wide the weights."""
    bounds = torch.stack(
        [weighted_bound(normal_weights(20.0, 100, 1000, s)).value for s in range(2)]
    )
    told = weighted_bound(normal_weights(20.0, 100, 1000)).variance.mean().sqrt().item()
    assert told == pytest.approx(bounds.std().item(), rel=0.25) and told > 5


def test_wide_blocks_are_computed_in_parts(monkeypatch):
    log_weights = normal_weights(3.0, 100, 7)
    whole = weighted_bound(log_weights)
    monkeypatch.setattr("bench.estimators.weights.MOST_NUMBERS", 250)
    torch.testing.assert_close(weighted_bound(log_weights), whole, atol=0, rtol=1e-12)


def zhang_stephens(excess):
    """Zhang & Stephens 2009, steps 1 to 4, and Vehtari et al. 2024: k̂ and σ of one ascending sample.

    A transcription that agreed to 4e-14 with `arviz_stats` 0.8.0, with the same tail length.
    """
    n = len(excess)
    m = 30 + int(n**0.5)
    theta = np.array(
        [
            1 / excess[-1] + (1 - (m / (j - 0.5)) ** 0.5) / (3 * excess[int(n / 4 + 0.5) - 1])
            for j in range(1, m + 1)
        ]
    )
    shape = lambda t: np.log1p(-t * excess).mean()
    likelihood = np.array([n * (np.log(-t / shape(t)) - shape(t) - 1) for t in theta])
    weights = np.array([1 / np.exp(likelihood - own).sum() for own in likelihood])
    own = shape(weights @ theta)
    return (n * own + 5) / (n + 10), -own / (weights @ theta)


@pytest.mark.parametrize("k", [25, 100, 1000])
def test_pareto_shape_is_that_of_zhang_and_stephens(k):
    log_weights = normal_weights(1.0, k, 6) * torch.linspace(0.1, 12, 6).double()
    m = tail_length(k)
    for own, found in zip(log_weights.T.numpy(), pareto_smoothed(log_weights)[0]):
        ordered = np.exp(np.sort(own) - own.max())
        assert found.item() == pytest.approx(
            zhang_stephens(ordered[-m:] - ordered[-m - 1])[0], abs=1e-9
        )


@pytest.mark.parametrize("shape", [0.2, 0.8])
def test_pareto_shape_of_pareto_weights_is_theirs(shape):
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(5000, 40, generator=generator, dtype=torch.float64)
    found = pareto_smoothed(-shape * u.log())[0]
    assert found.mean().item() == pytest.approx(shape, abs=0.05)


@pytest.mark.parametrize("k", [25, 100])
def test_smoothed_tails_are_quantiles_of_the_fitted_distribution(k):
    log_weights = normal_weights(1.0, k, 6) * torch.linspace(0.1, 12, 6).double()
    m = tail_length(k)
    for own, found in zip(log_weights.T.numpy(), pareto_smoothed(log_weights)[1].T.numpy()):
        order = own.argsort()
        weights = np.exp(own[order] - own.max())
        shape, scale = zhang_stephens(weights[-m:] - weights[-m - 1])
        quantiles = genpareto.ppf((np.arange(m) + 0.5) / m, shape, scale=scale)
        expected = np.log(quantiles + weights[-m - 1]) + own.max()
        np.testing.assert_allclose(found[order[-m:]], expected, atol=1e-8)
        assert np.array_equal(found[order[:-m]], own[order[:-m]])  # the rest stays as it is


def test_the_smoothed_variance_hardly_depends_on_a_rare_large_weight():
    """Where one weight is the sum, its spread over repeats is a third of that of the jackknife's."""
    bound = weighted_bound(normal_weights(20.0, 100, 1000))
    spread = lambda v: (v.std() / v.mean()).item()
    assert spread(bound.smoothed_variance) < 0.6 and spread(bound.variance) > 1.5
    assert 0.3 < (bound.smoothed_variance.mean() / bound.variance.mean()).item() < 0.7
    light = weighted_bound(normal_weights(0.5, 100, 1000))
    assert light.smoothed_variance.mean().item() == pytest.approx(
        light.variance.mean().item(), rel=0.2
    )


def test_equal_weights_have_no_tail_and_few_weights_no_shape():
    assert (weighted_bound(torch.zeros(100, 2)).pareto_k == -torch.inf).all()
    ties = torch.zeros(100, 1, dtype=torch.float64)
    ties[:10, 0] = torch.arange(1, 11)
    assert 0 < pareto_smoothed(ties)[0].item() < torch.inf  # half of the tail is at the threshold
    ties[3:, 0] = 0.0
    assert pareto_smoothed(ties)[0].item() == torch.inf
    assert pareto_smoothed(normal_weights(1.0, 20))[0].isnan().all()
    assert tail_length(20) == 4 and tail_length(100) == 20 and tail_length(5000) == 213
    assert pareto_threshold(100) == 0.5 and pareto_threshold(10_000) == 0.7


def test_columns_of_a_split_and_the_rule_of_the_empty_cell():
    """Twenty data with heavy tails leave the error unknown, a hundred do not, nor do light tails."""
    heavy, light = normal_weights(8.0, 1000, 150), normal_weights(0.5, 1000, 150)
    estimates = lambda log_weights: bound_estimates(weighted_bound(log_weights), 1000)
    many, few, easy = estimates(heavy), estimates(heavy[:, :20]), estimates(light[:, :20])
    assert few["log_likelihood"].stderr is None and few["bound_rise"].stderr_data is None
    assert many["log_likelihood"].stderr > 0.1 and many["bound_rise"].stderr_data > 0
    assert 0 < easy["log_likelihood"].stderr < 0.01
    size = weighted_bound(heavy).effective_sample_size
    assert many["effective_sample_size_median"].value == size.median().item() < 3
    assert many["effective_sample_size_below_10"].value == (size < 10).double().mean().item() > 0.9
    assert many["pareto_k_above_threshold"].value > 0.9
    assert (
        easy["pareto_k_above_threshold"].value == easy["effective_sample_size_below_10"].value == 0
    )
    assert many["bound_rise"].value == weighted_bound(heavy).rise.mean().item() > 0.3
    # A few data among many easy ones that make most of the error; then they make little of it.
    mixed = torch.cat([heavy[:, :3], light], dim=1)
    assert not error_is_known(weighted_bound(mixed), 1000)
    assert error_is_known(weighted_bound(torch.cat([light] * 20, dim=1)), 1000)
    assert FEWEST_DATA == 100 and not error_is_known(weighted_bound(heavy[:, :99]), 1000)


def test_few_outlying_images_leave_the_error_unknown():
    """A hundred mildly heavy images do not vouch for one that makes the error; a mixture may."""
    mild = normal_weights(1.5, 100, 299)
    with_one = lambda scale, seed: weighted_bound(
        torch.cat([mild, normal_weights(scale, 100, 1, seed)], dim=1)
    )
    for seed in range(1, 16):
        assert not error_is_known(with_one(20.0, seed), 100)
        assert error_is_known(with_one(2.0, seed), 100)
    several = torch.cat([normal_weights(2.0, 100, 150), normal_weights(12.0, 100, 3)], dim=1)
    assert not error_is_known(weighted_bound(several), 100)
    many = torch.cat([normal_weights(2.0, 100, 200), normal_weights(5.0, 100, 30)], dim=1)
    assert error_is_known(weighted_bound(many), 100)


def test_effective_numbers_of_data():
    every = torch.ones(30, dtype=torch.bool)
    assert effective_data(torch.full((30,), 0.7), every) == pytest.approx(30)
    assert effective_data(torch.tensor([9.0, 0.01, 0.01]), every[:3]) == pytest.approx(1, abs=0.01)
    # One heavy datum that makes a fifth of the variance: 5² = 25, however few the light ones are.
    one = torch.tensor([True, False])
    assert effective_data(torch.tensor([1.0, 4.0]), one) == pytest.approx(25)
    assert FEWEST_EFFECTIVE_DATA == 20


@pytest.mark.parametrize("deviation", [200, 500, 5000])
def test_tails_beyond_the_range_of_floats_have_the_shape_infinity(deviation):
    """No datum is without k̂, whose share would then be missing for the whole split."""
    draws = torch.randn(1000, 300, generator=torch.manual_seed(1)).double() * deviation
    bound = weighted_bound(draws)
    assert not bound.pareto_k.isnan().any() and (bound.pareto_k > 0.7).all()
    assert bound.smoothed_variance.isfinite().all()


def test_tails_that_cannot_be_fitted_count_as_heavy():
    """Ties above the threshold have no k̂ but ∞."""
    log_weights = torch.zeros(100, 50, dtype=torch.float64)
    log_weights[:2] = 20.0
    bound = weighted_bound(log_weights)
    assert bound.pareto_k.isinf().all() and not error_is_known(bound, 100)
    unknown = bound._replace(pareto_k=torch.full_like(bound.pareto_k, torch.nan))
    assert not error_is_known(unknown, 100)


def test_of_fewer_than_50_draws_no_error_is_known():
    """Below 10 the jackknife's variance is too small where weights are heavy; below 50 tails are short."""
    for k in (2, 5, 10, 20, 21, 49, 50):
        known = error_is_known(weighted_bound(normal_weights(1.0, k, 300)), k)
        assert known == (k == 50)
    assert error_is_known(weighted_bound(torch.zeros(10, 5)), 10)  # equal weights have no error
    # log-weights of a one-dimensional q that is 0.3 times as wide as the posterior
    weights = lambda k: weighted_bound(0.455 * normal_weights(1.0, k, 20_000).square())
    ratio = lambda bound: (bound.variance.mean() / bound.value.var()).item()
    assert ratio(weights(2)) < 0.7 and ratio(weights(25)) > 0.9


def test_one_draw_has_no_error_and_no_rise():
    columns = bound_estimates(weighted_bound(torch.zeros(1, 5)), 1)
    assert columns["log_likelihood"].stderr is None and "bound_rise" not in columns
    assert "pareto_k_above_threshold" not in columns
    assert isinstance(weighted_bound(torch.zeros(1, 5)), WeightedBound)
