"""The multi-scale RealNVP of pixels that learned noise dequantizes."""

from torch import Tensor

from bench.densities.flows import check_couplings
from bench.densities.variational_dequantization import ConvolutionalDequantization
from bench.models.convolutional_realnvp import ConvolutionalRealNVP
from bench.models.terms import Model, Terms
from bench.models.variational_realnvp import variational_flow_terms
from bench.networks.mlp import Shape
from bench.noise import Noise


class VariationalConvolutionalRealNVP(Model):
    """`ConvolutionalRealNVP` with variational dequantization, as `VariationalRealNVP` has it.

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        scales: Number of scales; each has half the height and width of the one before.
        couplings: Number of affine couplings with each kind of mask at each scale.
        channels: Feature maps of each coupling's residual network.
        blocks: Residual blocks of each coupling's network.
        alpha: α of the logits of α + (1 − 2α) x, which keeps them finite.
        dequantization_couplings: Number of affine couplings of the noise.
        dequantization_channels: Feature maps of each of those couplings' networks.
        dequantization_blocks: Residual blocks of each of those couplings' networks.
    """

    decoder_name = ConvolutionalRealNVP.decoder_name
    prior_name = ConvolutionalRealNVP.prior_name

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
        dequantization_couplings: int = 4,
        dequantization_channels: int = 16,
        dequantization_blocks: int = 1,
    ):
        super().__init__(shape, levels)
        check_couplings(
            "model.dequantization_couplings", dequantization_couplings, "the noise uniform"
        )
        self.realnvp = ConvolutionalRealNVP(
            shape, levels, scales, couplings, channels, blocks, alpha
        )
        self.dequantization = ConvolutionalDequantization(
            shape, levels, dequantization_couplings, dequantization_channels, dequantization_blocks
        )

    def attach(self, training_images: Tensor) -> None:
        self.realnvp.attach(training_images)

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> Terms:
        return variational_flow_terms(self.realnvp, self.dequantization, y, noise, samples)

    def sample(self, n: int, noise: Noise) -> Tensor:
        return self.realnvp.sample(n, noise)
