"""RealNVP with convolutions at several scales, on the same preprocessed pixels as `RealNVP`."""

from math import prod

from torch import Tensor

from bench.densities.dequantization import dequantize_uniformly
from bench.densities.flows import LogitPreprocessing, Standardization
from bench.densities.multiscale import MultiScaleFlow
from bench.models.realnvp import flow_sample, flow_terms, logit_moments
from bench.models.terms import Model, Terms
from bench.networks.mlp import Shape
from bench.noise import Noise


class ConvolutionalRealNVP(Model):
    """The multi-scale flow of Dinh et al. 2017 (section 3.6) on logits of dequantized pixels.

    Its terms have the meaning of those of `RealNVP`.

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        scales: Number of scales; each has half the height and width of the one before.
        couplings: Number of affine couplings with each kind of mask at each scale.
        channels: Feature maps of each coupling's residual network.
        blocks: Residual blocks of each coupling's network.
        alpha: α of the logits of α + (1 − 2α) x, which keeps them finite.
    """

    decoder_name = "Deterministic"
    prior_name = "StandardNormal"

    # Each parameter is an option of configurations and part of run keys.
    def __init__(
        self,
        shape: Shape,
        levels: int,
        scales: int = 3,
        couplings: int = 3,
        channels: int = 32,
        blocks: int = 2,
        alpha: float = 0.05,
    ):
        super().__init__(shape, levels)
        self.levels, self.dimensions, self.channels = levels, prod(shape), shape[0]
        self.preprocessing = LogitPreprocessing(alpha)
        self.standardization = Standardization(self.dimensions)
        self.flow = MultiScaleFlow(shape, scales, couplings, channels, blocks)

    def attach(self, training_images: Tensor) -> None:
        """Standardize the logits of each channel by the training split, uint8 of shape (n, D).

        All pixels of a channel have the same mean and scale, because convolutions treat them alike.
        Scales per pixel would amplify the noise of a margin that is always dark until it looks like
        ink.
        """
        mean, scale = (m.reshape(self.channels, -1) for m in logit_moments(self, training_images))
        center = mean.mean(1, keepdim=True).expand_as(mean)
        variance = (scale.square() + (mean - center).square()).mean(1, keepdim=True)
        self.standardization.set(center.flatten(), variance.sqrt().expand_as(mean).flatten())

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> Terms:
        return flow_terms(self, dequantize_uniformly(y, self.levels, samples, noise))

    def sample(self, n: int, noise: Noise) -> Tensor:
        return flow_sample(self, n, noise)
