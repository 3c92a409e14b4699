"""A Gaussian likelihood of pixels that learned noise dequantizes."""

from typing import Literal

from torch import Tensor

from bench.densities.decoders import Decoder, Gaussian
from bench.densities.flows import check_couplings
from bench.densities.variational_dequantization import VariationalDequantization
from bench.noise import Noise


class VariationalGaussian(Decoder):
    """log N(x; μ(z), σ²) − log r(u|y) − D log L of x = (y + u) / L with learned noise u ~ r(u|y).

    Ho et al. 2019 (Flow++, section 3.1) for a VAE: the bound is E_r[log p(y + u|z) − log r(u|y)], and
    L_K weights draws of u and z together. A new r is uniform, so a new model has the bound of
    ``Gaussian``. Unlike there the gap may close: r can have the shape that the normal has on a bin.

    Args:
        dimensions: D, the number of pixels and channels.
        levels: L, the number of values that a pixel takes.
        sigma: The standard deviation, as for ``Gaussian``.
        couplings: Number of affine couplings of the noise.
        widths: Hidden units of each layer of each of those couplings' networks.
    """

    # Each parameter is an option of configurations and part of run keys.
    def __init__(
        self,
        dimensions: int,
        levels: int,
        sigma: Literal["shared", "pixel", "decoder", "optimal"] | float = "decoder",
        couplings: int = 4,
        widths: list[int] = [128, 128],
    ):
        super().__init__(dimensions, levels)
        check_couplings("model.decoder.couplings", couplings, "the noise uniform")
        self.gaussian = Gaussian(dimensions, levels, sigma)
        self.outputs_per_dimension = self.gaussian.outputs_per_dimension
        # Every other pixel in reading order: a decoder does not know the image's shape.
        self.dequantization = VariationalDequantization(
            (dimensions,), levels, couplings, widths, "checkerboard"
        )

    def attach(self, training_images: Tensor) -> None:
        self.gaussian.attach(training_images)

    def log_prob(self, outputs: Tensor, y: Tensor, noise: Noise) -> Tensor:
        u, log_noise = self.dequantization(y, outputs.shape[0], noise)
        log_density = self.gaussian.log_density_of_pixels(outputs, (y + u) / self.levels)
        return log_density.sum(-1) - log_noise

    def sample(self, outputs: Tensor, noise: Noise) -> Tensor:
        return self.gaussian.sample(outputs, noise)

    def mean(self, outputs: Tensor) -> Tensor:
        return self.gaussian.mean(outputs)
