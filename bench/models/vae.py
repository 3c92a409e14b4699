"""The variational autoencoder, composed of encoder, decoder and prior."""

from collections.abc import Callable
from dataclasses import replace
from math import prod

import torch
from torch import Tensor, nn

from bench.densities.decoders import Decoder, Gaussian
from bench.densities.full_covariance import NormalDistribution
from bench.densities.near_components import FEWEST_COMPONENTS
from bench.densities.posteriors import Encoded, NetworkOf, NormalPosterior, Posterior
from bench.densities.priors import Density, Prior, StandardNormal
from bench.errors import InputError
from bench.models.terms import Model, Terms
from bench.networks.mlp import MLP, Network, Shape, widened
from bench.noise import Noise
from bench.settings import check_at_least_one

# Draws of ten samples whose prior is computed at once under very many components: a thousand samples
# of a datum share the search for the components near them. They take 16 MB in 40 dimensions.
JOINED_DRAWS = 100


def forget_prior_of(model: "VAE", _: object) -> None:
    """Drop the prior's density after new weights are loaded; a function, so that a VAE pickles."""
    model.forget_prior()


class VAE(Model):
    """p(y) = ∫ p(y|z) p(z) dz with an amortized posterior q(z|y) (Kingma & Welling 2014).

    The Gaussian, the Bernoulli and the aggregated-posterior VAE are instances with other parts.

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        latent_dimensions: Number of dimensions of z.
        encoder: Network from the image to mean and log-variance of q(z|y).
        decoder_network: Network from z to the likelihood's parameters.
        decoder: The likelihood p(y|z), which the field also calls the observation model. It is not
            the network; `ExternalVAE` calls it likelihood.
        prior: The prior p(z).
        posterior: The family of q(z|y).

    Raises:
        InputError: The prior is made of encoded images, and the posterior is not a diagonal normal.
    """

    # Each parameter is an option of configurations and part of run keys.
    def __init__(
        self,
        shape: Shape,
        levels: int,
        latent_dimensions: int = 10,
        encoder: Callable[[Shape, Shape], Network] = MLP,
        decoder_network: Callable[[Shape, Shape], Network] = MLP,
        decoder: Callable[[int, int], Decoder] = Gaussian,
        prior: Callable[[int, int, int], Prior] = StandardNormal,
        posterior: Callable[[NetworkOf, int, int], Posterior] = NormalPosterior,
    ):
        super().__init__(shape, levels)
        check_at_least_one("model.", latent_dimensions=latent_dimensions)
        dimensions = prod(shape)
        self.latent_dimensions = latent_dimensions
        self.decoder = decoder(dimensions, levels)
        self.output_shape = (self.decoder.outputs_per_dimension, dimensions)
        network_of: NetworkOf = lambda outputs: encoder(shape, (outputs,))
        self.posterior = posterior(network_of, latent_dimensions, levels)
        self.decoder_network = decoder_network((latent_dimensions,), self.output_shape)
        self.prior = prior(latent_dimensions, dimensions, levels)
        self.decoder_name = type(self.decoder).__name__
        self.prior_name = type(self.prior).__name__
        if self.prior.is_encoded and not isinstance(self.posterior, NormalPosterior):
            raise InputError(
                f"model.prior: {self.prior_name} is made of encoded images, each a diagonal normal; "
                f"with posterior {type(self.posterior).__name__} take another prior"
            )
        self.bound = self.decoder.bound
        self._evaluation_prior: Density | None = None
        self.register_load_state_dict_post_hook(forget_prior_of)

    def attach(self, training_images: Tensor) -> None:
        self.prior.attach(training_images)
        self.decoder.attach(training_images)
        self.forget_prior()

    def encoder_parameters(self) -> list[nn.Parameter]:
        return list(self.posterior.parameters())

    def forget_prior(self) -> None:
        """Drop the cached density of evaluation, because the weights or the data have changed."""
        self._evaluation_prior = None

    def train(self, mode: bool = True) -> "VAE":
        self.forget_prior()
        return super().train(mode)

    def prior_density(self, noise: Noise, index: Tensor | None) -> Density:
        """Return p(z); evaluation caches it until the weights change."""
        if self.training or torch.is_grad_enabled():
            return self.prior(self.posterior, noise, index)
        if self._evaluation_prior is None:
            self._evaluation_prior = self.prior(self.posterior, noise, None)
        return self._evaluation_prior

    def decode(self, z: Tensor) -> Tensor:
        """Return the network's outputs (..., outputs_per_dimension, D) for z (..., latent)."""
        return widened(self.decoder_network(z)).unflatten(-1, self.output_shape)

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> Terms:
        return self._terms_given(self.posterior(y), y, noise, samples, index)

    def prepared(self, y: Tensor) -> Callable[[Noise, int], Terms]:
        """Encode y once, and return the function of (noise, samples) that gives its terms.

        Draws of noise that are joined are decoded one by one on a CPU, and their samples' prior is
        computed for all of them at once.
        """
        posterior = self.posterior(y)

        def terms(noise: Noise, samples: int) -> Terms:
            parts = noise.separate()
            if len(parts) == 1:
                return self._terms_given(posterior, y, noise, samples, None)
            each = samples // len(parts)
            joined = Terms.join(
                [self._terms_given(posterior, y, part, each, None, False) for part in parts]
            )
            assert joined.latent is not None
            log_prior = self.prior_density(noise, None).log_prob(joined.latent)
            return replace(joined, log_prior=log_prior)

        return terms

    @property
    def draws_at_once(self) -> int:
        return JOINED_DRAWS if self.prior.components >= FEWEST_COMPONENTS else 1

    def _terms_given(
        self,
        posterior: Encoded,
        y: Tensor,
        noise: Noise,
        samples: int,
        index: Tensor | None,
        with_prior: bool = True,
    ) -> Terms:
        z = posterior.sample(noise, samples)
        reconstruction = self.decoder.log_prob(self.decode(z), y, noise)
        normal = posterior if isinstance(posterior, NormalDistribution) else None
        analytic = normal is not None and isinstance(self.prior, StandardNormal)
        # A training step on one sample uses the analytic KL, so the sampled one is not computed.
        # ``prepared`` adds the prior of joined draws.
        sampled = not (analytic and self.training and samples == 1)
        density = self.prior_density(noise, index) if sampled and with_prior else None
        return Terms(
            reconstruction=reconstruction,
            log_prior=density.log_prob(z) if density is not None else None,
            log_posterior=posterior.log_prob(z) if sampled else None,
            latent=z,
            posterior=normal,
            kl_analytic=normal.kl_to_standard_normal() if normal and analytic else None,
        )

    def reconstruction_from_prior(self, y: Tensor, noise: Noise, samples: int) -> Tensor:
        """Return log p(y|z) in nats for z drawn from the prior, (samples, batch)."""
        z = self.prior_density(noise, None).sample(samples * len(y), noise)
        outputs = self.decode(z).unflatten(0, (samples, len(y)))
        return self.decoder.log_prob(outputs, y, noise)

    def sample(self, n: int, noise: Noise) -> Tensor:
        return self.decoder.sample(self._decoded_prior_draws(n, noise), noise)

    def sample_mean(self, n: int, noise: Noise) -> Tensor:
        return self.decoder.mean(self._decoded_prior_draws(n, noise))

    def decode_mean(self, z: Tensor) -> Tensor:
        """Return E[y|z] (n, D) in units of levels, for z (n, latent)."""
        return self.decoder.mean(self.decode(z))

    def _decoded_prior_draws(self, n: int, noise: Noise) -> Tensor:
        return self.decode(self.prior_density(noise, None).sample(n, noise))

    def reconstruct(self, y: Tensor) -> Tensor:
        """Return E[y|z] at the posterior's ``loc``, shape (batch, D), in units of levels."""
        return self.decode_mean(self.posterior(y).loc)
