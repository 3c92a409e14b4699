"""log p(y, z) of a trained VAE at any z, for what moves z by gradients."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.densities.decoders import Gaussian
from bench.densities.discretized import log_mass_of_pixels
from bench.densities.normal import NormalMixture, standard_normal_log_prob
from bench.densities.variational_gaussian import VariationalGaussian
from bench.errors import InputError
from bench.inspection.local_posteriors import LogJoint
from bench.models.vae import VAE
from bench.noise import Noise

# A prior with more components is replaced by those nearest to each datum where gradients are needed.
MOST_COMPONENTS, NEAR_COMPONENTS = 2000, 300


@dataclass(frozen=True)
class JointDensity:
    """log p(y, z) of one block of data, in nats.

    Attributes:
        exact: Without gradients.
        differentiable: With gradients; at most ``exact``, and below it if the prior has very many
            components.
        dequantized: Samples of log p(y + u, z) − D log L whose mean over u bounds ``exact`` from below;
            None if the likelihood is one of integers.
    """

    exact: LogJoint
    differentiable: LogJoint
    dequantized: LogJoint | None = None


def joint_density(model: VAE, y: Tensor, *noise_key: int | str) -> JointDensity:
    """Return log p(y, z) of a VAE in evaluation mode for images y (batch, D).

    A Gaussian decoder's likelihood of an integer is the exact mass of its bin, so that no noise u is in
    log p(y, z).

    Raises:
        InputError: The model's density bounds no mass (dequantization: none).
    """
    if model.bound == "none":
        raise InputError(
            "model: without dequantization its density is no bound on the mass of an image, and has "
            "no gaps"
        )
    decoder = model.decoder
    normal = decoder.gaussian if isinstance(decoder, VariationalGaussian) else decoder
    unused = Noise("not used", device=y.device)
    with torch.no_grad():
        prior = model.prior_density(unused, None)
        centre = model.posterior(y).loc
    near: LogJoint = prior.log_prob
    if isinstance(prior, NormalMixture) and len(prior.log_weights) > MOST_COMPONENTS:
        near = near_components(prior, centre)

    def log_likelihood(z: Tensor) -> Tensor:
        outputs = model.decode(z)
        if isinstance(normal, Gaussian):
            return log_mass_of_pixels(normal, outputs, y).sum(-1)
        return decoder.log_prob(outputs, y, unused)

    def exact(z: Tensor) -> Tensor:
        with torch.no_grad():
            return log_likelihood(z) + prior.log_prob(z)

    noise = Noise(*noise_key, "dequantization", device=y.device)

    def dequantized(z: Tensor) -> Tensor:
        with torch.no_grad():
            return decoder.log_prob(model.decode(z), y, noise) + prior.log_prob(z)

    return JointDensity(
        exact,
        lambda z: log_likelihood(z) + near(z),
        dequantized if isinstance(normal, Gaussian) else None,
    )


def near_components(mixture: NormalMixture, centre: Tensor) -> LogJoint:
    """Return the log-density of the components with the largest densities at each datum's centre.

    It is differentiable, and at most the mixture's. ``centre`` has shape (batch, dimensions).
    """
    with torch.no_grad():
        chosen = mixture.table.log_pairs(centre).topk(NEAR_COMPONENTS).indices
    own = centre.double()[:, None]
    loc = mixture.components.loc[chosen].double() - own
    log_scale = mixture.components.log_scale[chosen].double()
    precision = (-2 * log_scale).exp()
    constant = mixture.log_weights.double()[chosen] - log_scale.sum(-1)
    constant = constant + standard_normal_log_prob(loc * (-log_scale).exp())

    def log_prob(z: Tensor) -> Tensor:
        # The origin is the datum's centre, where the products cancel least.
        points = z.double().transpose(0, 1) - own
        pairs = points @ (loc * precision).mT - 0.5 * points.square() @ precision.mT
        return (pairs + constant[:, None]).logsumexp(-1).T.to(z.dtype)

    return log_prob
