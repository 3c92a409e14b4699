"""lightning-bolts' own VAE for comparison: its networks and its loss, measured like all models."""

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from bench.densities.decoders import Gaussian
from bench.errors import InputError
from bench.models.terms import Terms
from bench.models.vae import VAE
from bench.networks.bolts import BoltsResNet18
from bench.networks.mlp import Shape
from bench.noise import Noise


@dataclass(frozen=True, kw_only=True)
class BoltsTerms(Terms):
    """Terms, and the mean over dimensions of (x̂ − x)², shape (samples, batch)."""

    squared_error: Tensor


class BoltsVAE(VAE):
    """pl_bolts.models.autoencoders.VAE of lightning-bolts 0.7.0, with its defaults.

    Training minimizes its own loss with x = y / (L − 1) in [0, 1]: (x̂ − x)² averaged over the
    image's dimensions plus ``kl_coefficient`` times the KL averaged over the dimensions of z. Up to
    scale that is the negative ELBO of a Gaussian VAE with σ² = kl_coefficient · D / (2 · latent
    dimensions): σ = 0.77 on CIFAR-10. The trainer's ``beta`` and warm-up multiply the KL; at their
    defaults, 1 and 0, the loss is lightning-bolts'.

    Evaluation uses x̂ as the mean of a Gaussian on the dequantized pixels. Its σ is fixed at the
    root mean square error over training batches (a running mean), which maximizes the likelihood.
    In training mode σ is the batch's, so terms depend on the rest of the batch; the loss has no σ.

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        latent_dimensions: Number of dimensions of z.
        kl_coefficient: Weight of the KL in the loss.
    """

    def __init__(
        self,
        shape: Shape,
        levels: int,
        latent_dimensions: int = 256,
        kl_coefficient: float = 0.1,
    ):
        if not 0 <= kl_coefficient < float("inf"):
            raise InputError(f"model.kl_coefficient: {kl_coefficient} is negative or not a number")
        super().__init__(
            shape,
            levels,
            latent_dimensions,
            encoder=BoltsResNet18,
            decoder_network=BoltsResNet18,
            decoder=partial(Gaussian, sigma="optimal"),
        )
        self.largest, self.kl_coefficient = levels - 1, kl_coefficient
        assert isinstance(self.decoder, Gaussian)
        self.decoder.take_images()

    def attach(self, training_images: Tensor) -> None:
        """Do nothing: this network's outputs are not standardized by the training split."""

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> BoltsTerms:
        posterior = self.posterior(y)
        z = posterior.sample(noise, samples)
        outputs = self.decode(z)
        return BoltsTerms(
            reconstruction=self.decoder.log_prob(outputs, y, noise),
            log_prior=self.prior_density(noise, index).log_prob(z),
            log_posterior=posterior.log_prob(z),
            latent=z,
            posterior=posterior,
            kl_analytic=posterior.kl_to_standard_normal(),
            squared_error=(outputs[..., 0, :] - y / self.largest).square().mean(-1),
        )

    def objective(self, terms: Terms, beta: float | Tensor) -> Tensor:
        """Return minus lightning-bolts' loss per datum, with β times its weight of the KL."""
        assert isinstance(terms, BoltsTerms) and terms.kl_analytic is not None
        weight = beta * self.kl_coefficient / self.latent_dimensions
        return -terms.squared_error - weight * terms.kl_analytic
