"""RealNVP of pixels that learned noise dequantizes."""

from dataclasses import replace

from torch import Tensor

from bench.densities.flows import Mask, check_couplings
from bench.densities.variational_dequantization import (
    ConvolutionalDequantization,
    VariationalDequantization,
)
from bench.models.realnvp import PixelFlow, RealNVP, flow_terms
from bench.models.terms import Model, Terms
from bench.networks.mlp import Shape
from bench.noise import Noise


class VariationalRealNVP(Model):
    """RealNVP with variational dequantization (Ho et al. 2019, Flow++, section 3.1).

    x = (y + u) / L with u ~ r(u|y) instead of uniform noise. Its ``reconstruction`` is RealNVP's
    minus log r(u|y), so the ELBO is the bound log P(y) ≥ E_r[log p(x) − log r(u|y)] − D log L, and
    L_K weights draws of u by importance. A new model has RealNVP's bound.

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        couplings: Number of affine couplings.
        widths: Hidden units of each layer of each coupling's network.
        mask: checkerboard, or half of the flattened pixels; for both flows.
        alpha: α of the logits of α + (1 − 2α) x, which keeps them finite.
        dequantization_couplings: Number of affine couplings of the noise.
        dequantization_widths: Hidden units of each layer of each of those couplings' networks.
    """

    decoder_name = RealNVP.decoder_name
    prior_name = RealNVP.prior_name

    # Each parameter is an option of configurations and part of run keys.
    def __init__(
        self,
        shape: Shape,
        levels: int,
        couplings: int = 8,
        widths: list[int] = [256, 256],
        mask: Mask = "checkerboard",
        alpha: float = 0.05,
        dequantization_couplings: int = 4,
        dequantization_widths: list[int] = [128, 128],
    ):
        super().__init__(shape, levels)
        check_couplings(
            "model.dequantization_couplings", dequantization_couplings, "the noise uniform"
        )
        self.realnvp = RealNVP(shape, levels, couplings, widths, mask, alpha)
        self.dequantization = VariationalDequantization(
            shape, levels, dequantization_couplings, dequantization_widths, mask
        )

    def attach(self, training_images: Tensor) -> None:
        self.realnvp.attach(training_images)

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> Terms:
        return variational_flow_terms(self.realnvp, self.dequantization, y, noise, samples)

    def sample(self, n: int, noise: Noise) -> Tensor:
        return self.realnvp.sample(n, noise)


def variational_flow_terms(
    model: PixelFlow,
    dequantization: VariationalDequantization | ConvolutionalDequantization,
    y: Tensor,
    noise: Noise,
    samples: int,
) -> Terms:
    """Return the terms, in nats, of images y (batch, D) with draws of learned noise."""
    u, log_noise = dequantization(y, samples, noise)
    terms = flow_terms(model, (y + u) / model.levels)
    return replace(terms, reconstruction=terms.reconstruction - log_noise)
