import pytest
import torch

from bench.estimators.evidence import importance_weighted_bound
from bench.models.linear_gaussian_vae import LinearGaussianVAE as LinearGaussian
from bench.noise import Noise


def test_the_true_posterior_gives_the_evidence_with_one_sample():
    model = LinearGaussian()
    x = model.data(50)
    value, variance = importance_weighted_bound(model, x, 1, 0)
    assert variance.isnan().all()  # one sample cannot tell its error
    torch.testing.assert_close(value, model.log_evidence(x))
    value, variance = importance_weighted_bound(model, x, 10, 0)
    assert variance.max() < 1e-15


def test_a_mismatched_posterior_still_estimates_the_evidence():
    """L_K of a wrong q is within 3 standard errors of the exact evidence at K = 5000."""
    model = LinearGaussian(shift=0.3, stretch=1.5)
    x = model.data(100)
    value, variance = importance_weighted_bound(model, x, 5000, 0)
    error = variance.sum().sqrt() / len(x)
    assert abs((value - model.log_evidence(x)).mean()) < 3 * error
    elbo = model.terms(x, Noise(1), 5000).elbo.mean(0)
    assert (model.log_evidence(x) - elbo).mean() > 0.2


def test_the_bound_grows_with_the_number_of_samples():
    model = LinearGaussian(shift=0.8, stretch=1.3)
    x = model.data(100)
    bounds = [importance_weighted_bound(model, x, k, 0)[0].mean() for k in (1, 10, 100, 1000)]
    assert bounds == sorted(bounds) and bounds[-1] < model.log_evidence(x).mean() + 0.01


def test_its_standard_error_is_the_spread_over_repeats():
    model = LinearGaussian(shift=0.3, stretch=1.5)
    x = model.data(20)
    repeats = [importance_weighted_bound(model, x, 200, "repeat", r) for r in range(200)]
    means = torch.stack([value.mean() for value, _ in repeats])
    told = torch.stack([variance.sum().sqrt() / 20 for _, variance in repeats])
    assert told.mean().item() == pytest.approx(means.std().item(), rel=0.2)


def test_fewer_samples_are_the_first_of_the_same_noise():
    model, seen = LinearGaussian(), []
    original = model.terms
    model.terms = lambda *a, **k: seen.append(original(*a, **k)) or seen[-1]
    x = model.data(5)
    value, _ = importance_weighted_bound(model, x, 7, 0)
    expected = seen[0].elbo[:7].logsumexp(0) - torch.tensor(7.0).double().log()
    torch.testing.assert_close(value, expected)
