"""The closed forms that everything else is calibrated against, each by another way."""

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch.distributions import MultivariateNormal, kl_divergence

from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.noise import Noise


def test_evidence_by_quadrature_over_the_latent():
    model = LinearGaussianVAE(dimensions=3, latent_dimensions=1, sigma=0.7)
    for x in model.data(3):
        joint = lambda z, x=x: (
            norm.pdf(z) * norm.pdf(x.numpy(), model.weight[:, 0].numpy() * z, 0.7).prod()
        )
        total, _ = quad(joint, -10, 10, epsabs=1e-13)
        assert torch.tensor(total).log().item() == pytest.approx(model.log_evidence(x).item())


def test_posterior_is_bayes():
    """log p(z|x) = log p(x|z) + log p(z) − log p(x) at every z."""
    model = LinearGaussianVAE()
    x = model.data(5)
    terms = model.terms(x, Noise(0), samples=7)
    exact = terms.reconstruction + terms.log_prior - model.log_evidence(x)
    torch.testing.assert_close(terms.log_posterior, exact)


def test_decomposition_of_the_evidence():
    """log p(x) = ELBO + KL(q ‖ p(z|x)), the lecture's first identity, against torch's KL."""
    model, truth = LinearGaussianVAE(shift=0.4, stretch=1.7), LinearGaussianVAE()
    x = model.data(4)
    q, p = model.posterior(x), truth.posterior(x)
    as_torch = lambda d: MultivariateNormal(d.loc, torch.diag_embed((2 * d.log_scale).exp()))
    divergence = kl_divergence(as_torch(q), as_torch(p))
    torch.testing.assert_close(divergence, torch.full_like(divergence, model.kl_to_posterior()))
    sampled = model.terms(x, Noise(0), samples=200_000).elbo
    error = sampled.std(0) / 200_000**0.5
    assert ((sampled.mean(0) - model.elbo(x)).abs() < 4.5 * error).all()


def test_mean_evidence_and_information_of_the_population():
    model = LinearGaussianVAE(shift=0.2, stretch=1.3)
    x = model.data(200_000)
    evidence = model.log_evidence(x)
    assert evidence.mean().item() == pytest.approx(
        model.mean_log_evidence(), abs=4.5 * evidence.std().item() / 200_000**0.5
    )
    z = model.posterior(x).sample(Noise(1), 1)[0]
    torch.testing.assert_close(z.var(0), model.aggregate_variance(), rtol=0.02, atol=0)
    scale = model.aggregate_variance().sqrt()
    log_aggregate = torch.distributions.Normal(0.2, scale).log_prob(z).sum(-1)
    information = model.posterior(x).log_prob(z) - log_aggregate
    assert information.mean().item() == pytest.approx(model.mutual_information(), abs=0.02)
