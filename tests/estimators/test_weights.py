from math import log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.estimators.diagnostics import FEWEST_DATA, bound_estimates, error_is_known
from bench.estimators.weights import (
    WeightedBound,
    pareto_shape,
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
    assert (bound.rise >= 0).all() and bound.pareto_k.isnan().all()


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
    """Zhang & Stephens 2009, steps 1 to 4, and Vehtari et al. 2024, for one ascending sample.

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
    return (n * shape(weights @ theta) + 5) / (n + 10)


@pytest.mark.parametrize("k", [25, 100, 1000])
def test_pareto_shape_is_that_of_zhang_and_stephens(k):
    log_weights = normal_weights(1.0, k, 6) * torch.linspace(0.1, 12, 6).double()
    m = tail_length(k)
    for own, found in zip(log_weights.T.numpy(), pareto_shape(log_weights)):
        ordered = np.exp(np.sort(own) - own.max())
        assert found.item() == pytest.approx(
            zhang_stephens(ordered[-m:] - ordered[-m - 1]), abs=1e-9
        )


@pytest.mark.parametrize("shape", [0.2, 0.8])
def test_pareto_shape_of_pareto_weights_is_theirs(shape):
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(5000, 40, generator=generator, dtype=torch.float64)
    found = pareto_shape(-shape * u.log())
    assert found.mean().item() == pytest.approx(shape, abs=0.05)


def test_equal_weights_have_no_tail_and_few_weights_no_shape():
    assert (weighted_bound(torch.zeros(100, 2)).pareto_k == -torch.inf).all()
    ties = torch.zeros(100, 1, dtype=torch.float64)
    ties[:10, 0] = torch.arange(1, 11)
    assert 0 < pareto_shape(ties).item() < torch.inf  # half of the tail is at the threshold
    ties[3:, 0] = 0.0
    assert pareto_shape(ties).item() == torch.inf
    assert pareto_shape(normal_weights(1.0, 20)).isnan().all()
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


def test_tails_that_cannot_be_fitted_count_as_heavy():
    """Below 21 draws no k̂ is known, so that a few data alone never tell their error."""
    few, many = normal_weights(1.0, 10, 99), normal_weights(1.0, 10, 100)
    assert weighted_bound(few).pareto_k.isnan().all()
    assert not error_is_known(weighted_bound(few), 10)
    assert error_is_known(weighted_bound(many), 10)
    assert error_is_known(weighted_bound(torch.zeros(10, 5)), 10)  # equal weights have no error


def test_one_draw_has_no_error_and_no_rise():
    columns = bound_estimates(weighted_bound(torch.zeros(1, 5)), 1)
    assert columns["log_likelihood"].stderr is None and "bound_rise" not in columns
    assert "pareto_k_above_threshold" not in columns
    assert isinstance(weighted_bound(torch.zeros(1, 5)), WeightedBound)
