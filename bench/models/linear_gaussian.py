"""The linear-Gaussian latent variable model (probabilistic PCA), fitted by EM."""

from dataclasses import dataclass
from math import log, prod

import torch
from torch import Tensor

from bench.densities.dequantization import dequantize_uniformly, expected_level, quantize
from bench.densities.normal import LOG_2PI, DiagonalNormal, standard_normal_log_prob
from bench.errors import InputError
from bench.models.expectation_maximization import (
    HalfStep,
    HalfSteps,
    dequantized,
    expectation_maximization,
)
from bench.models.terms import Model, Terms
from bench.networks.mlp import Shape
from bench.noise import Noise


@dataclass(frozen=True)
class LinearGaussianParameters:
    """θ of x = W z + μ + ε, z ~ N(0, I), ε ~ N(0, σ² I): W (D, d), μ (D,), σ² a scalar; float64."""

    weight: Tensor
    mean: Tensor
    variance: Tensor

    def covariance(self) -> Tensor:
        """Return Cov(x) = W Wᵀ + σ² I, (D, D)."""
        identity = torch.eye(len(self.weight), dtype=torch.float64)
        return self.weight @ self.weight.T + self.variance * identity

    def gain_and_covariance(self) -> tuple[Tensor, Tensor]:
        """Return A (d, D) and C (d, d) of the posterior p(z|x) = N(A (x − μ), C).

        Tipping & Bishop 1999, eq. 7: M = WᵀW + σ² I, A = M⁻¹ Wᵀ, C = σ² M⁻¹.
        """
        latent = self.weight.shape[1]
        inner = self.weight.T @ self.weight + self.variance * torch.eye(latent).double()
        return torch.linalg.solve(inner, self.weight.T), self.variance * torch.linalg.inv(inner)


@dataclass(frozen=True)
class LinearGaussianPosterior:
    """The statistics of q, N(A (x − μ), C), on all data that the M-step and the bound need.

    Attributes:
        cross: The mean over data of E[(x − μ) zᵀ], (D, d).
        second: The mean over data of E[z zᵀ], (d, d).
        covariance: C (d, d).
    """

    cross: Tensor
    second: Tensor
    covariance: Tensor


def linear_gaussian_steps(
    x: Tensor,
) -> HalfSteps[LinearGaussianPosterior, LinearGaussianParameters]:
    """Return EM's half-steps on x (n, D), float64. An iteration costs D²·d, for any n.

    μ stays at its maximum-likelihood value, the mean of x (Tipping & Bishop 1999, eqs. 27 to 30).
    """
    mean = x.mean(0)
    scatter = (x - mean).T @ (x - mean) / len(x)
    dimensions = x.shape[1]

    def e_step(parameters: LinearGaussianParameters) -> LinearGaussianPosterior:
        gain, covariance = parameters.gain_and_covariance()
        cross = scatter @ gain.T
        return LinearGaussianPosterior(cross, covariance + gain @ cross, covariance)

    def squared_error(weight: Tensor, q: LinearGaussianPosterior) -> Tensor:
        explained = 2 * (weight * q.cross).sum() - (weight.T @ weight * q.second).sum()
        return scatter.trace() - explained

    def m_step(q: LinearGaussianPosterior) -> LinearGaussianParameters:
        weight = torch.linalg.solve(q.second, q.cross.T).T
        return LinearGaussianParameters(weight, mean, squared_error(weight, q) / dimensions)

    def bound(q: LinearGaussianPosterior, parameters: LinearGaussianParameters) -> float:
        latent, variance = len(q.second), parameters.variance
        error = squared_error(parameters.weight, q)
        likelihood = -0.5 * (dimensions * (LOG_2PI + variance.log()) + error / variance)
        prior = -0.5 * (latent * LOG_2PI + q.second.trace())
        entropy = 0.5 * (latent * (1 + LOG_2PI) + torch.linalg.slogdet(q.covariance)[1])
        return (likelihood + prior + entropy).item()

    def log_evidence(parameters: LinearGaussianParameters) -> float:
        # One factorization serves both terms; separate ones take nearly 3 times as long.
        factor = torch.linalg.cholesky(parameters.covariance())
        distance = (torch.cholesky_inverse(factor) * scatter).sum()
        determinant = 2 * factor.diagonal().log().sum()
        return -0.5 * (dimensions * LOG_2PI + determinant + distance).item()

    return HalfSteps(e_step, m_step, bound, log_evidence)


def maximum_likelihood(x: Tensor, latent_dimensions: int) -> LinearGaussianParameters:
    """Return the closed-form maximum of the evidence on x (n, D) (Tipping & Bishop 1999, eq. 15).

    W = U (Λ − σ² I)^½ with the leading eigenvectors and eigenvalues of the covariance; σ² is the
    mean of the other eigenvalues.
    """
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    values, vectors = values.flip(0), vectors.flip(1)
    variance = values[latent_dimensions:].mean()
    scale = (values[:latent_dimensions] - variance).sqrt()
    return LinearGaussianParameters(vectors[:, :latent_dimensions] * scale, mean, variance)


def random_linear_gaussian(
    x: Tensor, latent_dimensions: int, seed: int
) -> LinearGaussianParameters:
    """Return initial parameters: random directions with the data's variance."""
    variance = x.var(0).mean()
    weight = Noise(seed, "start of EM").normal(x.shape[1], latent_dimensions).double()
    return LinearGaussianParameters(weight * variance.sqrt(), x.mean(0), variance)


class LinearGaussian(Model):
    """Probabilistic PCA of dequantized pixels, fitted by EM (Tipping & Bishop 1999).

    Its q(z|y) is the posterior at the midpoints of y's bins. After the fit, W is rotated to
    orthogonal columns: this does not change the model, and makes the posterior diagonal.

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        latent_dimensions: Number of dimensions of z.
        iterations: Largest number of EM iterations.
    """

    decoder_name = "Gaussian"
    prior_name = "StandardNormal"
    weight: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(
        self, shape: Shape, levels: int, latent_dimensions: int = 10, iterations: int = 1000
    ):
        super().__init__(shape, levels)
        self.levels, self.dimensions, self.iterations = levels, prod(shape), iterations
        if not 1 <= latent_dimensions < self.dimensions or iterations < 1:
            raise InputError(
                f"model: {latent_dimensions} latent dimensions and {iterations} iterations; take "
                f"1 to {self.dimensions - 1} and at least 1"
            )
        self.latent_dimensions = latent_dimensions
        self.seed = int(torch.randint(2**62, ()).item())
        weight = torch.zeros(self.dimensions, latent_dimensions, dtype=torch.float64)
        self.register_buffer("weight", weight)
        self.register_buffer("mean", torch.zeros(self.dimensions, dtype=torch.float64))
        self.register_buffer("variance", torch.ones((), dtype=torch.float64))

    def fit(self, images: Tensor) -> list[HalfStep]:
        """Fit by EM on training images (n, D) and return every half-step."""
        x = dequantized(images, self.levels, self.seed)
        start = random_linear_gaussian(x, self.latent_dimensions, self.seed)
        fitted, trace = expectation_maximization(
            linear_gaussian_steps(x), start, self.iterations, converged=1e-12
        )
        directions, scales, _ = torch.linalg.svd(fitted.weight, full_matrices=False)
        self.weight, self.mean = directions * scales, fitted.mean
        self.variance = fitted.variance
        return trace

    def posterior(self, y: Tensor) -> DiagonalNormal:
        """Return p(z|x) at the midpoints of the bins of y (batch, D)."""
        precision = self.weight.square().sum(0) + self.variance
        loc = ((y.double() + 0.5) / self.levels - self.mean) @ self.weight / precision
        return DiagonalNormal(loc, (0.5 * (self.variance / precision).log()).expand_as(loc))

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> Terms:
        posterior = self.posterior(y)
        z = posterior.sample(noise, samples)
        x = dequantize_uniformly(y, self.levels, samples, noise).double()
        loc = z @ self.weight.T + self.mean
        log_scale = (0.5 * self.variance.log()).expand_as(loc)
        constant = self.dimensions * log(self.levels)
        return Terms(
            reconstruction=DiagonalNormal(loc, log_scale).log_prob(x) - constant,
            log_prior=standard_normal_log_prob(z),
            log_posterior=posterior.log_prob(z),
            latent=z,
            posterior=posterior,
            kl_analytic=posterior.kl_to_standard_normal(),
        )

    def decode_mean(self, z: Tensor) -> Tensor:
        """Return E[y|z] (n, D) in units of levels, for z (n, latent)."""
        x = z.double() @ self.weight.T + self.mean
        return expected_level(x, self.levels).float()

    def reconstruct(self, y: Tensor) -> Tensor:
        """Return E[y|z] at the posterior's mean, shape (batch, D), in units of levels."""
        return self.decode_mean(self.posterior(y).loc)

    def sample_mean(self, n: int, noise: Noise) -> Tensor:
        return self.decode_mean(noise.normal(n, self.latent_dimensions))

    def sample(self, n: int, noise: Noise) -> Tensor:
        mean = noise.normal(n, self.latent_dimensions).double() @ self.weight.T + self.mean
        x = mean + self.variance.sqrt() * noise.normal(n, self.dimensions)
        return quantize(x, self.levels).float()
