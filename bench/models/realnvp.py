"""RealNVP, a normalizing flow, with the same terms as a VAE."""

from math import log, prod
from typing import Protocol

from torch import Tensor

from bench.densities.dequantization import (
    Dequantization,
    dequantize,
    dequantized_moments,
    quantize,
)
from bench.densities.flows import (
    CouplingFlow,
    LogitPreprocessing,
    Mask,
    Shift,
    Standardization,
    check_couplings,
)
from bench.densities.multiscale import MultiScaleFlow
from bench.densities.normal import standard_normal_log_prob
from bench.models.terms import Model, Terms
from bench.networks.mlp import Shape
from bench.noise import Noise


class RealNVP(Model):
    """A flow of affine couplings on the logits of uniformly dequantized pixels (Dinh et al. 2017).

    Read as a VAE, its encoder is q(z|x) = δ(z − f(x)) and its decoder p(x|z) = δ(x − f⁻¹(z)).
    ``reconstruction`` is log |det ∂f/∂x| − D log L, the inference gap is 0, and the only gap to
    log P(y) is that of dequantization.

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        couplings: Number of affine couplings.
        widths: Hidden units of each layer of each coupling's network.
        mask: checkerboard, or half of the flattened pixels.
        alpha: α of the logits of α + (1 − 2α) x, which keeps them finite.
        dequantization: none models the midpoints of bins, to show that this degenerates.
        shift: after_scaling, as in the paper, or before_scaling, which suits images whose
            background hardly varies: see `AffineCoupling`.
    """

    decoder_name = "Deterministic"
    prior_name = "StandardNormal"

    # Each parameter is an option of configurations and part of run keys.
    def __init__(
        self,
        shape: Shape,
        levels: int,
        couplings: int = 8,
        widths: list[int] = [256, 256],
        mask: Mask = "checkerboard",
        alpha: float = 0.05,
        dequantization: Dequantization = "uniform",
        shift: Shift = "after_scaling",
    ):
        super().__init__(shape, levels)
        check_couplings("model.couplings", couplings, "the pixels unchanged")
        self.levels, self.dimensions = levels, prod(shape)
        self.dequantization = dequantization
        self.bound = "upper" if dequantization == "uniform" else "none"
        self.preprocessing = LogitPreprocessing(alpha)
        self.standardization = Standardization(self.dimensions)
        self.flow = CouplingFlow(shape, couplings, widths, mask, shift)

    def attach(self, training_images: Tensor) -> None:
        self.standardization.set(*logit_moments(self, training_images))

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> Terms:
        return flow_terms(self, dequantize(y, self.levels, samples, noise, self.dequantization))

    def sample(self, n: int, noise: Noise) -> Tensor:
        return flow_sample(self, n, noise)


class PixelFlow(Protocol):
    """A model whose flow maps standardized logits of dequantized pixels to z."""

    levels: int
    dimensions: int
    preprocessing: LogitPreprocessing
    standardization: Standardization

    @property
    def flow(self) -> CouplingFlow | MultiScaleFlow: ...


def logit_moments(model: PixelFlow, training_images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each pixel's logits, (D,) each, of images (n, D)."""
    return dequantized_moments(training_images, model.levels, lambda x: model.preprocessing(x)[0])


def flow_terms(model: PixelFlow, x: Tensor) -> Terms:
    """Return the terms, in nats, of dequantized images x (samples, batch, D)."""
    logits, log_derivative = model.preprocessing(x)
    standardized, log_scale = model.standardization(logits)
    z, log_determinant = model.flow(standardized)
    constant = model.dimensions * log(model.levels)
    return Terms(
        reconstruction=log_derivative + log_scale + log_determinant - constant,
        log_prior=standard_normal_log_prob(z),
        latent=z,
    )


def flow_sample(model: PixelFlow, n: int, noise: Noise) -> Tensor:
    """Draw n images, floats in {0, …, levels − 1} of shape (n, D)."""
    logits = model.standardization.inverse(model.flow.inverse(noise.normal(n, model.dimensions)))
    return quantize(model.preprocessing.inverse(logits), model.levels)
