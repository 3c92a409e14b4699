"""A mixture of diagonal normals over whole images, fitted by EM."""

from dataclasses import dataclass
from math import log, prod

import torch
from torch import Tensor

from bench.densities.dequantization import dequantize_uniformly, quantize
from bench.densities.normal import LOG_2PI, DiagonalNormal, NormalMixture
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
class MixtureParameters:
    """θ of Σ_k w_k N(x; μ_k, diag σ_k²): weights (K,), means and variances (K, D); float64."""

    weights: Tensor
    means: Tensor
    variances: Tensor

    def log_joint(self, x: Tensor) -> Tensor:
        """Return log w_k + log N(x_i; μ_k, diag σ_k²) in nats, (..., n, K), for x (..., n, D)."""
        precision = 1 / self.variances
        distance = x.square() @ precision.T - 2 * x @ (self.means * precision).T
        distance = distance + (self.means.square() * precision).sum(1)
        constants = self.variances.log().sum(1) + x.shape[-1] * LOG_2PI
        return self.weights.log() - 0.5 * (distance + constants)


def least_variance(levels: int) -> float:
    """Return the variance of u/L: the noise alone gives dequantized pixels this variance."""
    return 1 / (12 * levels**2)


def mixture_steps(x: Tensor, smallest_variance: float) -> HalfSteps[Tensor, MixtureParameters]:
    """Return EM's half-steps on x (n, D), float64; q is the table of responsibilities (n, K).

    Bishop 2006, section 9.2.2. Without a smallest variance the maximum is infinite: a component
    shrinks to one datum (section 9.2.1). With it, the M-step is still the exact maximum over the
    allowed variances, because the bound has a single maximum in each variance.
    """

    def m_step(responsibilities: Tensor) -> MixtureParameters:
        counts = responsibilities.sum(0)
        if not (counts > 0).all():
            raise RuntimeError(
                "a component of the mixture lost all its data; take fewer components"
            )
        means = responsibilities.T @ x / counts[:, None]
        squares = responsibilities.T @ x.square() / counts[:, None]
        variances = (squares - means.square()).clamp(min=smallest_variance)
        return MixtureParameters(counts / len(x), means, variances)

    def bound(responsibilities: Tensor, parameters: MixtureParameters) -> float:
        joint = (responsibilities * parameters.log_joint(x)).sum(1).mean()
        entropy = -torch.xlogy(responsibilities, responsibilities).sum(1).mean()
        return (joint + entropy).item()

    return HalfSteps(
        e_step=lambda parameters: parameters.log_joint(x).softmax(1),
        m_step=m_step,
        bound=bound,
        log_evidence=lambda parameters: parameters.log_joint(x).logsumexp(1).mean().item(),
    )


def random_mixture(x: Tensor, components: int, seed: int) -> MixtureParameters:
    """Return initial parameters: means at randomly drawn data, variances of the data."""
    chosen = Noise(seed, "start of EM").shared_permutation(len(x))[:components]
    weights = torch.full((components,), 1 / components, dtype=torch.float64)
    return MixtureParameters(weights, x[chosen], x.var(0, correction=0).expand(components, -1))


class GaussianMixture(Model):
    """A mixture of diagonal normals on dequantized pixels, fitted by EM (Bishop 2006, section 9.2).

    Its latent variable is marginalized, so its only term is the exact log-likelihood of dequantized
    images.

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        components: Number of components.
        iterations: Largest number of EM iterations.
    """

    decoder_name = "Gaussian"
    weights: Tensor
    means: Tensor
    variances: Tensor

    def __init__(self, shape: Shape, levels: int, components: int = 10, iterations: int = 500):
        super().__init__(shape, levels)
        if components < 1 or iterations < 1:
            raise InputError(
                f"model: {components} components and {iterations} iterations; take at least 1"
            )
        self.levels, self.dimensions = levels, prod(shape)
        self.components, self.iterations = components, iterations
        self.seed = int(torch.randint(2**62, ()).item())
        weights = torch.full((components,), 1 / components, dtype=torch.float64)
        shape_of_means = (components, self.dimensions)
        self.register_buffer("weights", weights)
        self.register_buffer("means", torch.zeros(shape_of_means, dtype=torch.float64))
        self.register_buffer("variances", torch.ones(shape_of_means, dtype=torch.float64))

    def fit(self, images: Tensor) -> list[HalfStep]:
        """Fit by EM on training images (n, D) and return every half-step."""
        x = dequantized(images, self.levels, self.seed)
        start = random_mixture(x, self.components, self.seed)
        steps = mixture_steps(x, least_variance(self.levels))
        fitted, trace = expectation_maximization(steps, start, self.iterations, converged=1e-10)
        self.weights, self.means, self.variances = fitted.weights, fitted.means, fitted.variances
        return trace

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> Terms:
        x = dequantize_uniformly(y, self.levels, samples, noise).double()
        joint = MixtureParameters(self.weights, self.means, self.variances).log_joint(x)
        return Terms(reconstruction=joint.logsumexp(-1) - self.dimensions * log(self.levels))

    def sample(self, n: int, noise: Noise) -> Tensor:
        components = DiagonalNormal(self.means, 0.5 * self.variances.log())
        x = NormalMixture(components, self.weights.log()).sample(n, noise)
        return quantize(x, self.levels).float()
