"""RealNVP: the normalizing flow, answering the same terms as a VAE."""

from math import log, prod

from torch import Tensor

from bench.densities.dequantization import dequantize_uniformly, dequantized_moments
from bench.densities.flows import CouplingFlow, LogitPreprocessing, Mask, Standardization
from bench.densities.normal import standard_normal_log_prob
from bench.errors import InputError
from bench.models.terms import Model, Terms
from bench.nets import Shape
from bench.noise import Noise


class RealNVP(Model):
    """A flow of affine couplings on the logits of uniformly dequantized pixels (Dinh et al. 2017).

    As a VAE it has the encoder q(z|x) = δ(z − f(x)) and the decoder p(x|z) = δ(x − f⁻¹(z)): its
    ``reconstruction`` is log |det ∂f/∂x| − D log L, its inference gap is 0, and the only gap to
    log P(y) is that of dequantization.

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        couplings: Number of affine couplings.
        widths: Hidden units of each layer of each coupling's network.
        mask: checkerboard, or half of the flattened pixels.
        alpha: Logits are taken of α + (1 − 2α) x, which keeps them finite.
    """

    decoder_name = "Deterministic"
    prior_name = "StandardNormal"

    def __init__(
        self,
        shape: Shape,
        levels: int,
        couplings: int = 8,
        widths: list[int] = [256, 256],
        mask: Mask = "checkerboard",
        alpha: float = 0.05,
    ):
        super().__init__(shape, levels)
        if couplings < 2:
            raise InputError(
                f"model.couplings: {couplings} would leave a part of the pixels unchanged; take 2 or more"
            )
        self.levels, self.dimensions = levels, prod(shape)
        self.preprocessing = LogitPreprocessing(alpha)
        self.standardization = Standardization(self.dimensions)
        self.flow = CouplingFlow(shape, couplings, widths, mask)

    def attach(self, training_images: Tensor) -> None:
        logit = lambda x: self.preprocessing(x)[0]
        self.standardization.set(*dequantized_moments(training_images, self.levels, logit))

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> Terms:
        x = dequantize_uniformly(y, self.levels, samples, noise)
        logits, log_derivative = self.preprocessing(x)
        standardized, log_scale = self.standardization(logits)
        z, log_determinant = self.flow(standardized)
        constant = self.dimensions * log(self.levels)
        return Terms(
            reconstruction=log_derivative + log_scale + log_determinant - constant,
            log_prior=standard_normal_log_prob(z),
            latent=z,
        )

    def sample(self, n: int, noise: Noise) -> Tensor:
        logits = self.standardization.inverse(self.flow.inverse(noise.normal(n, self.dimensions)))
        x = self.preprocessing.inverse(logits)
        return (x * self.levels).floor().clamp(0, self.levels - 1)
