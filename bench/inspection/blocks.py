"""A block of data as annealing needs it: log-densities of z with their gradients."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bench.densities.decoders import Gaussian
from bench.densities.dequantization import LARGEST_NOISE, quantize
from bench.densities.normal import NormalMixture
from bench.densities.posteriors import Encoded
from bench.densities.priors import Density
from bench.densities.variational_gaussian import VariationalGaussian
from bench.errors import InputError
from bench.estimators.annealing import LogDensity, ValueAndGradient, automatic
from bench.estimators.evidence import check_evaluation_mode
from bench.estimators.latent_gradients import (
    CHOOSING_DRAWS,
    NEAREST,
    NearMixture,
    value_and_gradient,
)
from bench.models.vae import VAE
from bench.noise import Noise

# Where chains start: at draws of q(z|y), or of the prior.
Start = Literal["posterior", "prior"]


class NoNoise(Noise):
    """The noise of a likelihood that must not draw any: its data is dequantized already."""

    def __init__(self, device: torch.device, is_dequantized: bool) -> None:
        super().__init__("none", device=device)
        self.is_dequantized = is_dequantized

    def uniform(self, *shape: int) -> Tensor:
        self._refuse(not self.is_dequantized)
        return torch.zeros((), device=self.device).expand(shape)

    def normal(self, *shape: int) -> Tensor:
        self._refuse(True)
        return torch.empty(shape)

    def _refuse(self, draws: bool) -> None:
        if draws:
            raise InputError(
                "model.decoder: log_prob draws noise, and annealing needs a likelihood that is a "
                "function of y and z"
            )


@dataclass(frozen=True)
class Observed:
    """A block of data.

    Attributes:
        images: Integers y (batch, D), which the encoder gets.
        values: What the likelihood gets: y, or y + u for a density of dequantized data.
    """

    images: Tensor
    values: Tensor


@dataclass(frozen=True)
class LatentBlock:
    """What annealing needs of a model for a block of data.

    Attributes:
        posterior: q(z|y), (batch, latent).
        prior: p(z).
        log_prior: log p(z) along the path, with its gradient; it may be only a part of the prior.
        log_likelihood: log p(y|z) with its gradient.
        log_likelihood_of: log p(y|z) alone.
        exchanged: Whether ``log_prior`` is another density than the prior, so that weights must be
            multiplied by their ratio.
    """

    posterior: Encoded
    prior: Density
    log_prior: ValueAndGradient
    log_likelihood: ValueAndGradient
    log_likelihood_of: LogDensity
    exchanged: bool = False

    @torch.no_grad()
    def exchange(self, z: Tensor) -> Tensor | float:
        """Return log p(z) less the path's log-prior, in nats, (chains, batch)."""
        if not self.exchanged:
            return 0.0
        return self.prior.log_prob(z).double() - self.log_prior(z)[0].double()

    @torch.no_grad()
    def draw_prior(self, chains: int, noise: Noise) -> Tensor:
        """Draw z (chains, batch, latent) from the prior."""
        batch = len(self.posterior.loc)
        return self.prior.sample(chains * batch, noise).view(chains, batch, -1)


def is_continuous(model: VAE) -> bool:
    """Tell whether the likelihood is a density of dequantized data, not a distribution of integers."""
    return isinstance(model.decoder, Gaussian)


def check_model(model: object) -> VAE:
    """Return a VAE in evaluation mode, whose weights need no gradients from now on.

    Raises:
        InputError: It is none, or in training mode, or its numbers bound nothing.
    """
    if not isinstance(model, VAE):
        raise InputError(
            f"model: {type(model).__name__} has no latent variable that a posterior has to be found "
            "for; annealing is for VAEs"
        )
    check_evaluation_mode(model)
    if model.bound == "none":
        raise InputError(
            "model.decoder: without dequantization its density bounds no probability of images"
        )
    if isinstance(model.decoder, VariationalGaussian):
        raise InputError(
            "model.decoder: of learned dequantization noise annealing knows nothing; take a Gaussian, "
            "whose noise is uniform"
        )
    return model.requires_grad_(False)


@torch.no_grad()
def observed(model: VAE, y: Tensor, noise: Noise) -> Observed:
    """Return images y (batch, D) as data; one u for each, where the likelihood needs it."""
    if not is_continuous(model):
        return Observed(y, y)
    return Observed(y, y + noise.uniform(*y.shape).clamp(max=LARGEST_NOISE))


@torch.no_grad()
def simulated(model: VAE, n: int, noise: Noise) -> tuple[Tensor, Observed]:
    """Draw z ~ p(z) and data from p(y|z): z (n, latent) is an exact sample of p(z|y)."""
    z = model.prior_density(noise, None).sample(n, noise)
    outputs = model.decode(z)
    if not isinstance(model.decoder, Gaussian):
        y = model.decoder.sample(outputs, noise)
        return z, Observed(y, y)
    loc, log_scale = model.decoder.location_and_log_scale(outputs)
    x = loc + log_scale.exp() * noise.normal(*loc.shape)
    return z, Observed(quantize(x, model.levels), x * model.levels)


@torch.no_grad()
def block_of(model: VAE, data: Observed, start: Start, noise: Noise) -> LatentBlock:
    """Return what annealing needs of a VAE for a block of data.

    A path that starts at q(z|y) keeps the components near each datum of a prior of very many.
    """
    posterior = model.posterior(data.images)
    prior = model.prior_density(noise, None)
    none = NoNoise(data.values.device, is_continuous(model))
    likelihood = lambda z: model.decoder.log_prob(model.decode(z), data.values, none)
    exchanged = (
        start == "posterior"
        and isinstance(prior, NormalMixture)
        and len(prior.log_weights) > 4 * NEAREST
    )
    if exchanged:
        assert isinstance(prior, NormalMixture)
        draws = posterior.sample(noise, CHOOSING_DRAWS)
        log_prior: ValueAndGradient = NearMixture(prior.table, draws)
    else:
        log_prior = value_and_gradient(prior)
    return LatentBlock(posterior, prior, log_prior, automatic(likelihood), likelihood, exchanged)
