"""Amortized posteriors q(z|y): the encoder of a VAE.

A posterior is a network whose outputs are the parameters of a distribution over z for each image, and
that distribution. Three families are here: the diagonal normal, the normal with a full covariance, and a
normalizing flow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from bench.densities.flows import CouplingFlow
from bench.densities.full_covariance import FullCovarianceNormal, below_diagonal
from bench.densities.normal import DiagonalNormal
from bench.networks.mlp import Network, widened
from bench.noise import Noise
from bench.settings import check_at_least_one

# Standard deviations from exp(−6) to exp(6). A healthy run stays far inside; a diverging encoder
# still gives finite numbers.
LOG_VARIANCE_BOUNDS = (-12.0, 12.0)
# From the number of outputs to the encoder's network with so many.
NetworkOf = Callable[[int], Network]


class Encoded(Protocol):
    """Distributions over z, one for each image of a batch."""

    @property
    def loc(self) -> Tensor:
        """Their means, or other centres, (batch, latent)."""

    def sample(self, noise: Noise, samples: int) -> Tensor:
        """Draw (samples, batch, latent) by reparameterization."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log-densities in nats of z (..., batch, latent), shape (..., batch)."""


def diagonal_normal(outputs: Tensor) -> DiagonalNormal:
    """Return the normals of means and log-variances (batch, 2·latent)."""
    loc, log_variance = outputs.chunk(2, dim=-1)
    return DiagonalNormal(loc, 0.5 * log_variance.clamp(*LOG_VARIANCE_BOUNDS))


class Posterior(nn.Module):
    """q(z|y), whose parameters are the outputs of one network.

    Args:
        network_of: Makes the network, from images (..., D), scaled to [0, 1], to so many outputs.
        latent_dimensions: Number of dimensions of z.
        levels: Number of values that a pixel takes.
    """

    def __init__(self, network_of: NetworkOf, latent_dimensions: int, levels: int):
        super().__init__()
        self.latent_dimensions, self.levels = latent_dimensions, levels
        self.network = network_of(self.outputs(latent_dimensions))

    def outputs(self, latent_dimensions: int) -> int:
        """Return the number of outputs that the network needs."""
        raise NotImplementedError

    def distribution(self, outputs: Tensor) -> Encoded:
        """Return the distributions over z of the network's outputs (batch, outputs)."""
        raise NotImplementedError

    def parameters_of(self, y: Tensor) -> Tensor:
        """Return the network's outputs for y (batch, D), shape (batch, outputs)."""
        x = y.float() / (self.levels - 1) if self.levels > 2 else y.float()
        return widened(self.network(x))

    def forward(self, y: Tensor) -> Encoded:
        """Encode y (batch, D): integer images, or real-valued pseudo-inputs in the same range."""
        return self.distribution(self.parameters_of(y))


class NormalPosterior(Posterior):
    """q(z|y) = N(z; μ(y), diag σ²(y)) by one network (Kingma & Welling 2014, eq. 9)."""

    def outputs(self, latent_dimensions: int) -> int:
        return 2 * latent_dimensions

    def distribution(self, outputs: Tensor) -> DiagonalNormal:
        return diagonal_normal(outputs)


class FullCovariancePosterior(Posterior):
    """q(z|y) = N(z; μ(y), L(y) L(y)ᵀ) with a lower triangular L (Kingma et al. 2016, appendix A).

    L = diag(σ) · A, and the network's last outputs are the entries of A below its diagonal of ones.
    """

    def outputs(self, latent_dimensions: int) -> int:
        return 2 * latent_dimensions + below_diagonal(latent_dimensions)

    def distribution(self, outputs: Tensor) -> FullCovarianceNormal:
        sizes = (2 * self.latent_dimensions, below_diagonal(self.latent_dimensions))
        of_normal, lower = outputs.split(sizes, dim=-1)
        normal = diagonal_normal(of_normal)
        return FullCovarianceNormal(normal.loc, normal.log_scale, lower)


@dataclass(frozen=True)
class FlowedNormal:
    """The distributions of f⁻¹(ε; h), ε ~ N(μ, diag σ²), for a batch of μ, σ and contexts h.

    Attributes:
        base: The distributions of ε.
        couplings: f.
        context: h, (batch, c).
    """

    base: DiagonalNormal
    couplings: CouplingFlow
    context: Tensor

    @property
    def loc(self) -> Tensor:
        """The image of the base's mean, (batch, dimensions): a centre, in general not the mean."""
        return self.couplings.inverse(self.base.loc, self.context)

    def sample(self, noise: Noise, samples: int) -> Tensor:
        """Draw (samples, batch, dimensions) by reparameterization."""
        drawn = self.base.sample(noise, samples)
        return self.couplings.inverse(drawn, self.context.expand(samples, -1, -1))

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log-densities in nats of z (..., batch, dimensions), shape (..., batch)."""
        context = self.context.expand(*z.shape[:-1], -1)
        base, log_determinant = self.couplings(z, context)
        return self.base.log_prob(base) + log_determinant


class FlowPosterior(Posterior):
    """q(z|y) is a RealNVP over z given y: the law of f⁻¹(ε; h(y)), ε ~ N(μ(y), diag σ²(y)).

    Rezende & Mohamed 2015 introduce flows as posteriors, and Kingma et al. 2016 give them a context h
    from the encoder. Theirs is autoregressive, so that only the density of its own samples is cheap.
    The inverse of couplings is as cheap as they are. A new flow is the identity, and q a diagonal normal.

    q_agg would need the flow of each datum at the samples of all others, n² flows. Therefore the KL of a
    VAE with this posterior is not split into mutual information and marginal KL.

    Args:
        network_of: See ``Posterior``.
        latent_dimensions: Number of dimensions of z, two or more.
        levels: Number of values that a pixel takes.
        couplings: Number of affine couplings.
        widths: Hidden units of each layer of each coupling's network.
        context: Number of outputs of the encoder's network that the couplings see.
    """

    # Three of the parameters belong to every posterior, the others are options of configurations.
    def __init__(
        self,
        network_of: NetworkOf,
        latent_dimensions: int,
        levels: int,
        couplings: int = 4,
        widths: list[int] = [64],
        context: int = 32,
    ):
        check_at_least_one("model.posterior.", couplings=couplings, context=context)
        self.context = context
        super().__init__(network_of, latent_dimensions, levels)
        self.flow = CouplingFlow((latent_dimensions,), couplings, widths, "half", context=context)

    def outputs(self, latent_dimensions: int) -> int:
        return 2 * latent_dimensions + self.context

    def distribution(self, outputs: Tensor) -> FlowedNormal:
        base = diagonal_normal(outputs[..., : -self.context])
        return FlowedNormal(base, self.flow, outputs[..., -self.context :])
