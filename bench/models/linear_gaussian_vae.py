"""Probabilistic PCA as a VAE: estimators are tested on it, because their true values are known."""

import torch
from torch import Tensor

from bench.densities.normal import LOG_2PI, DiagonalNormal, standard_normal_log_prob
from bench.models.terms import Terms
from bench.noise import Noise


class LinearGaussianVAE:
    """x = W z + ε with z ~ N(0, I) and ε ~ N(0, σ² I) (Tipping & Bishop 1999), in float64.

    W has orthogonal columns, so the posterior is diagonal and q can equal it. Evidence, posterior,
    KL, ELBO, aggregated posterior and mutual information have closed forms.

    Args:
        dimensions: Number of dimensions of x.
        latent_dimensions: Number of dimensions of z.
        sigma: Standard deviation of ε.
        shift: The mean of q(z|x) minus the posterior's; 0 for the true posterior.
        stretch: The standard deviations of q(z|x) divided by the posterior's; 1 for the true one.
    """

    bound = "upper"

    def __init__(
        self,
        dimensions: int = 6,
        latent_dimensions: int = 2,
        sigma: float = 0.5,
        shift: float = 0.0,
        stretch: float = 1.0,
    ):
        generator = torch.Generator().manual_seed(0)
        random = torch.randn(dimensions, latent_dimensions, generator=generator).double()
        self.weight = torch.linalg.qr(random)[0] * torch.linspace(1, 2, latent_dimensions).double()
        self.dimensions, self.sigma, self.shift, self.stretch = dimensions, sigma, shift, stretch
        self.power = self.weight.square().sum(0)
        self.posterior_variance = 1 / (1 + self.power / sigma**2)

    def data(self, n: int, *key: int | str) -> Tensor:
        """Draw x (n, dimensions)."""
        noise = Noise("linear-Gaussian data", *key)
        z = noise.normal(n, self.weight.shape[1]).double()
        return z @ self.weight.T + self.sigma * noise.normal(n, self.dimensions).double()

    def covariance(self) -> Tensor:
        """Return Cov(x) = W Wᵀ + σ² I."""
        return self.weight @ self.weight.T + self.sigma**2 * torch.eye(self.dimensions).double()

    def log_evidence(self, x: Tensor) -> Tensor:
        """Return log p(x) in nats, (n,)."""
        centre = torch.zeros(self.dimensions, dtype=torch.float64)
        return torch.distributions.MultivariateNormal(centre, self.covariance()).log_prob(x)

    def posterior(self, x: Tensor) -> DiagonalNormal:
        """Return q(z|x): the posterior with shifted mean and stretched standard deviations."""
        loc = x @ self.weight / self.sigma**2 * self.posterior_variance + self.shift
        scale = self.posterior_variance.sqrt() * self.stretch
        return DiagonalNormal(loc, scale.log().expand_as(loc))

    def kl_to_posterior(self) -> float:
        """Return KL(q(z|x) ‖ p(z|x)) in nats, the same for every x."""
        ratio = torch.full_like(self.posterior_variance, self.stretch**2)
        distance = self.shift**2 / self.posterior_variance
        return (0.5 * (ratio + distance - 1 - ratio.log())).sum().item()

    def elbo(self, x: Tensor) -> Tensor:
        """Return the exact ELBO in nats, (n,)."""
        return self.log_evidence(x) - self.kl_to_posterior()

    def mean_log_evidence(self) -> float:
        """Return E log p(x) over the model's own distribution, in nats."""
        log_determinant = torch.linalg.slogdet(self.covariance())[1].item()
        return -0.5 * (self.dimensions * (1 + LOG_2PI) + log_determinant)

    def aggregate_variance(self) -> Tensor:
        """Return the variances of the population's q_agg, which is N(shift, diag of these)."""
        gain = self.posterior_variance / self.sigma**2
        of_means = gain.square() * self.power * (self.power + self.sigma**2)
        return of_means + self.posterior_variance * self.stretch**2

    def mutual_information(self) -> float:
        """Return I(x; z) under q for the population, in nats."""
        ratio = self.aggregate_variance() / (self.posterior_variance * self.stretch**2)
        return 0.5 * ratio.log().sum().item()

    def log_likelihood(self, z: Tensor, x: Tensor) -> Tensor:
        """Return log p(x|z) in nats for z (..., n, latent)."""
        mean = z @ self.weight.T
        scale = torch.full((), self.sigma, dtype=torch.float64).log().expand_as(mean)
        return DiagonalNormal(mean, scale).log_prob(x)

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> Terms:
        """Return the terms of `bench.models.terms.Model`, with x in place of y."""
        posterior = self.posterior(y)
        z = posterior.sample(noise, samples)
        return Terms(
            reconstruction=self.log_likelihood(z, y),
            log_prior=standard_normal_log_prob(z),
            log_posterior=posterior.log_prob(z),
            latent=z,
            posterior=posterior,
            kl_analytic=posterior.kl_to_standard_normal(),
        )

    def reconstruction_from_prior(self, y: Tensor, noise: Noise, samples: int) -> Tensor:
        """Return log p(x|z) for z drawn from the prior, (samples, n)."""
        z = noise.normal(samples, len(y), self.weight.shape[1]).double()
        return self.log_likelihood(z, y)
