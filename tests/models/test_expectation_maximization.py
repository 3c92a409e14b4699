"""EM against closed forms, scikit-learn and torch.distributions."""

from math import log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture as SklearnMixture
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from bench.data.tasks import Task, load_task
from bench.densities.dequantization import dequantize_uniformly
from bench.estimators.evaluate import evaluate
from bench.models.expectation_maximization import dequantized, expectation_maximization
from bench.models.gaussian_mixture import (
    GaussianMixture,
    least_variance,
    mixture_steps,
    random_mixture,
)
from bench.models.linear_gaussian import (
    LinearGaussian,
    linear_gaussian_steps,
    maximum_likelihood,
    random_linear_gaussian,
)
from bench.noise import Noise
from bench.settings import EvaluationConfig

DIGITS = load_task(Task("digits"))


def pixels() -> torch.Tensor:
    return dequantized(DIGITS.train, 17, 1)


def changes(trace):
    bounds = [step["elbo"] for step in trace]
    return [after - before for before, after in zip(bounds, bounds[1:])]


def test_the_fixed_point_is_the_closed_form_which_is_scikit_learns():
    x = pixels()
    steps = linear_gaussian_steps(x)
    fitted, trace = expectation_maximization(steps, random_linear_gaussian(x, 10, 1), 1000)
    closed = maximum_likelihood(x, 10)
    assert trace[-1]["log_evidence"] == pytest.approx(steps.log_evidence(closed), rel=1e-9)
    assert torch.allclose(fitted.covariance(), closed.covariance(), rtol=1e-6, atol=1e-9)
    theirs = PCA(10).fit(x.numpy())
    # scikit-learn divides the scatter by n − 1, the likelihood's maximum by n.
    expected = torch.from_numpy(theirs.get_covariance()) * (len(x) - 1) / len(x)
    assert torch.allclose(closed.covariance(), expected, rtol=1e-9, atol=1e-12)


def test_the_e_step_closes_the_gap_to_the_evidence_of_torch_distributions():
    x = pixels()
    steps = linear_gaussian_steps(x)
    fitted, trace = expectation_maximization(steps, random_linear_gaussian(x, 3, 2), 5)
    evidence = MultivariateNormal(fitted.mean, fitted.covariance()).log_prob(x).mean().item()
    assert steps.bound(steps.e_step(fitted), fitted) == pytest.approx(evidence, abs=1e-9)
    assert trace[-1]["log_evidence"] == pytest.approx(evidence, abs=1e-9)
    # An M-step moves the parameters, so that the q of before leaves a gap.
    assert trace[1]["log_evidence"] - trace[1]["elbo"] > 1e-3


def test_the_mixture_is_scikit_learns_after_as_many_steps():
    x = pixels()
    start = random_mixture(x, 10, 1)
    fitted, trace = expectation_maximization(mixture_steps(x, 0.0), start, 40)
    theirs = SklearnMixture(
        10,
        covariance_type="diag",
        reg_covar=0,
        means_init=start.means,
        weights_init=start.weights,
        precisions_init=1 / start.variances,
        max_iter=40,
        tol=0,
    )
    with pytest.warns(Warning, match="not converge"):
        theirs.fit(x.numpy())
    assert trace[-1]["log_evidence"] == pytest.approx(theirs.score(x.numpy()), abs=1e-8)
    assert torch.allclose(fitted.means, torch.from_numpy(theirs.means_), atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 60), st.integers(3, 6), st.integers(1, 3))
def test_no_half_step_lowers_the_bound(seed, n, dimensions, parts):
    noise = Noise("property", seed)
    x = noise.normal(n, dimensions).double() * (1 + noise.uniform(1, dimensions))
    for steps, start in (
        (linear_gaussian_steps(x), random_linear_gaussian(x, min(parts, dimensions - 1), seed)),
        (mixture_steps(x, 0.05), random_mixture(x, parts, seed)),
    ):
        _, trace = expectation_maximization(steps, start, 15)
        size = max(abs(step["elbo"]) for step in trace)
        assert min(changes(trace)) >= -1e-9 * max(size, 1)
        for step in trace:
            assert step["elbo"] <= step["log_evidence"] + 1e-9 * max(size, 1)


def test_a_component_cannot_shrink_to_one_datum():
    """Without a smallest variance the likelihood of this start has no maximum."""
    x = torch.cat([pixels()[:50], torch.full((1, 64), 40.0, dtype=torch.float64)])
    start = random_mixture(x, 2, 1)
    start.means[1] = 40.0
    floor = least_variance(17)
    fitted, trace = expectation_maximization(mixture_steps(x, floor), start, 20)
    assert fitted.variances.min().item() == floor
    assert min(changes(trace)) >= -1e-9


def test_the_smallest_variance_is_that_of_the_noise():
    constant = dequantized(torch.full((4000, 3), 5, dtype=torch.uint8), 17, 1)
    assert constant.var().item() == pytest.approx(least_variance(17), rel=0.03)


def test_a_component_without_data_is_an_error():
    x = pixels()[:50]
    start = random_mixture(x, 2, 1)
    start.means[1] = 1e6
    with pytest.raises(RuntimeError, match="lost all its data"):
        expectation_maximization(mixture_steps(x, 1e-4), start, 3)


@pytest.mark.parametrize("make", [LinearGaussian, GaussianMixture])
def test_the_models_are_evaluated_by_the_contract(make):
    torch.manual_seed(0)
    model = make((1, 8, 8), 17).eval()
    trace = model.fit(DIGITS.train)
    assert trace[-1]["elbo"] > trace[0]["elbo"] + 1
    results = evaluate(model, DIGITS, EvaluationConfig(2, 20, 200), seed=1)
    test = {name: estimate.value for name, estimate in results["test"].items()}
    assert test["log_likelihood"] >= test["elbo"]
    # Better than uniform noise (4.09 bits/dim), and no miracle.
    assert 2.5 < test["bits_per_dim"] < 4.0
    if make is GaussianMixture:
        assert "mutual_information" not in test and "reconstruction" not in test
    else:
        assert test["kl"] == pytest.approx(test["mutual_information"] + test["marginal_kl"])
        assert not any(p.requires_grad for p in model.parameters())
    images = model.sample(50, Noise("sample"))
    assert images.shape == (50, 64) and images.min() >= 0 and images.max() <= 16


def test_linear_gaussian_terms_bound_the_evidence_of_its_own_covariance():
    torch.manual_seed(0)
    model = LinearGaussian((1, 8, 8), 17)
    model.fit(DIGITS.train)
    covariance = model.weight @ model.weight.T + model.variance * torch.eye(64).double()
    y = DIGITS.test[:100]
    with torch.no_grad():
        terms = model.terms(y, Noise("terms"), 400)
    x = (y.double() + 0.5) / 17
    # Log-densities of x at the bins' middles, less E over u of the quadratic form's part.
    spread = torch.linalg.inv(covariance).trace() / (12 * 17**2) / 2
    evidence = MultivariateNormal(model.mean, covariance).log_prob(x) - spread
    evidence = evidence - 64 * torch.log(torch.tensor(17.0, dtype=torch.float64))
    elbo = terms.elbo.mean().item()
    # q is the posterior at the middle of the bin: its divergence from that at x is
    # ½ E|A (x − middle)|² in units of the posterior's covariance.
    gain = model.weight.T / (model.weight.square().sum(0) + model.variance)[:, None]
    widths = model.variance / (model.weight.square().sum(0) + model.variance)
    divergence = 0.5 * (gain.square().sum(1) / widths).sum() / (12 * 17**2)
    error = terms.elbo.mean(1).std().item() / 400**0.5
    assert elbo == pytest.approx((evidence.mean() - divergence).item(), abs=5 * error + 1e-4)


def test_the_posterior_of_the_linear_gaussian_model_is_bayes_at_the_midpoints_of_bins():
    """E[z|x] = Wᵀ C⁻¹ (x − μ) and Cov(z|x) = I − Wᵀ C⁻¹ W, with C the covariance of x."""
    model = LinearGaussian((1, 8, 8), 17, latent_dimensions=3, iterations=3)
    model.fit(DIGITS.train[:200])
    x = (DIGITS.test[:5].double() + 0.5) / 17
    covariance = model.weight @ model.weight.T + model.variance * torch.eye(64).double()
    gain = torch.linalg.solve(covariance, model.weight).T
    q = model.posterior(DIGITS.test[:5])
    torch.testing.assert_close(q.loc, (x - model.mean) @ gain.T)
    spread = torch.eye(3).double() - gain @ model.weight
    torch.testing.assert_close(q.scale.square(), spread.diagonal().expand(5, 3))
    assert (spread - spread.diagonal().diag()).abs().max() < 1e-9


def test_the_mixtures_terms_are_pytorchs_density_whatever_the_size_of_the_block():
    y, levels = torch.from_numpy(np.random.default_rng(0).integers(0, 17, (7, 12))).byte(), 17
    model = GaussianMixture((1, 3, 4), levels, components=3, iterations=4)
    model.fit(torch.from_numpy(np.random.default_rng(1).integers(0, 17, (60, 12))).byte())
    x = dequantize_uniformly(y, levels, 2, Noise("mixture")).double()
    normals = Independent(Normal(model.means, model.variances.sqrt()), 1)
    theirs = MixtureSameFamily(Categorical(model.weights), normals).log_prob(x) - 12 * log(levels)
    assert torch.allclose(model.terms(y, Noise("mixture"), 2).elbo, theirs, atol=1e-8)
