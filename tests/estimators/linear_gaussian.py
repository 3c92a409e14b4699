"""A model whose evidence, posterior and aggregated posterior are known: x = W z + ε."""

import torch

from bench.densities.normal import DiagonalNormal, standard_normal_log_prob
from bench.models.terms import Terms


class LinearGaussian:
    """p(x) = N(0, W Wᵀ + σ² I); W has orthogonal columns, so the posterior is diagonal.

    ``shift`` and ``stretch`` make q(z|x) a mismatched version of the true posterior.
    """

    exact = False

    def __init__(self, dimensions=6, latent=2, sigma=0.5, shift=0.0, stretch=1.0):
        generator = torch.Generator().manual_seed(0)
        basis = torch.linalg.qr(torch.randn(dimensions, latent, generator=generator).double())[0]
        self.weight = basis * torch.linspace(1.0, 2.0, latent).double()
        self.sigma, self.shift, self.stretch = sigma, shift, stretch
        square = self.weight.square().sum(0)
        self.posterior_scale = (1 / (1 + square / sigma**2)).sqrt()

    def data(self, n, seed=1):
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(n, self.weight.shape[1], generator=generator).double()
        noise = torch.randn(n, self.weight.shape[0], generator=generator).double()
        return z @ self.weight.T + self.sigma * noise

    def log_evidence(self, x):
        covariance = self.weight @ self.weight.T + self.sigma**2 * torch.eye(x.shape[1]).double()
        return torch.distributions.MultivariateNormal(
            torch.zeros(x.shape[1]).double(), covariance
        ).log_prob(x)

    def posterior(self, x):
        loc = x @ self.weight / self.sigma**2 * self.posterior_scale**2 + self.shift
        scale = (self.posterior_scale * self.stretch).expand_as(loc)
        return DiagonalNormal(loc, scale.log())

    def terms(self, y, noise, samples=1, index=None):
        posterior = self.posterior(y)
        z = posterior.sample(noise, samples)
        mean = z @ self.weight.T
        likelihood = DiagonalNormal(mean, torch.full_like(mean, self.sigma).log())
        return Terms(
            reconstruction=likelihood.log_prob(y),
            log_prior=standard_normal_log_prob(z),
            log_posterior=posterior.log_prob(z),
            latent=z,
            posterior=posterior,
            kl_analytic=posterior.kl_to_standard_normal(),
        )
