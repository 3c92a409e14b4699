"""Tests of the exercises. Run `pytest` in this folder; `pytest -k 1` tests the first exercise."""

import math

import torch
from exercises import importance_weighted_bound, kl_to_standard_normal, surgery
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

torch.manual_seed(0)
MEAN, LOG_VARIANCE = torch.randn(40, 3), torch.randn(40, 3) - 1
POSTERIOR = Independent(Normal(MEAN, (LOG_VARIANCE / 2).exp()), 1)
PRIOR = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)


def test_1_the_kl_is_that_of_torch():
    expected = kl_divergence(POSTERIOR, PRIOR.expand((40,)))
    torch.testing.assert_close(kl_to_standard_normal(MEAN, LOG_VARIANCE), expected)


def test_1_the_kl_of_the_prior_itself_is_0():
    assert kl_to_standard_normal(torch.zeros(2, 5), torch.zeros(2, 5)).abs().max() < 1e-6


def linear_gaussian(samples: int) -> tuple[Tensor, ...]:
    """x = W z + noise, with q(z|x) too wide; its evidence is known: N(0, W Wᵀ + σ²)."""
    weights, sigma = torch.randn(6, 3), 0.5
    evidence = MultivariateNormal(torch.zeros(6), weights @ weights.T + sigma**2 * torch.eye(6))
    x = evidence.sample((20,))
    precision = torch.eye(3) + weights.T @ weights / sigma**2
    mean = torch.linalg.solve(precision, weights.T @ x.T / sigma**2).T
    q = MultivariateNormal(mean, 1.5 * torch.linalg.inv(precision))
    z = q.sample((samples,))
    likelihood = Independent(Normal(z @ weights.T, sigma), 1)
    return likelihood.log_prob(x), PRIOR.log_prob(z), q.log_prob(z), evidence.log_prob(x)


def test_2_one_sample_gives_the_elbo():
    likelihood, prior, posterior, _ = linear_gaussian(1)
    expected = (likelihood + prior - posterior)[0]
    torch.testing.assert_close(importance_weighted_bound(likelihood, prior, posterior), expected)


def test_2_many_samples_give_the_evidence():
    *terms, evidence = linear_gaussian(20_000)
    bound = importance_weighted_bound(*terms)
    assert (bound - evidence).abs().max() < 0.05  # the mean inside the logarithm, not outside
    assert importance_weighted_bound(*(term - 1e4 for term in terms)).isfinite().all()


def test_3_the_two_parts_add_up_to_the_mean_kl():
    z = POSTERIOR.sample((4000,))
    information, marginal = surgery(MEAN, LOG_VARIANCE, z)
    mean_kl = kl_divergence(POSTERIOR, PRIOR.expand((40,))).mean()
    assert abs(information + marginal - mean_kl) < 0.02
    assert 0 <= information <= math.log(40)


def test_3_equal_posteriors_know_nothing_and_distant_ones_everything():
    equal = torch.ones(8, 2), torch.zeros(8, 2)
    information, marginal = surgery(*equal, equal[0] + torch.randn(5000, 8, 2))
    assert abs(information) < 1e-4 and abs(marginal - 1) < 0.05  # KL(N(1, 1) ‖ N(0, 1)) = ½ twice
    far = 100.0 * torch.arange(8.0).expand(2, 8).T.contiguous()
    information, _ = surgery(far, torch.zeros(8, 2), far + torch.randn(50, 8, 2))
    assert abs(information - math.log(8)) < 1e-4
