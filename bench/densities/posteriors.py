"""Amortized posteriors q(z|y): the encoder of a VAE."""

from torch import Tensor, nn

from bench.densities.normal import DiagonalNormal
from bench.networks.mlp import Network, widened

# Standard deviations from exp(−6) to exp(6). A healthy run stays far inside; a diverging encoder
# still gives finite numbers.
LOG_VARIANCE_BOUNDS = (-12.0, 12.0)


class NormalPosterior(nn.Module):
    """q(z|y) = N(z; μ(y), diag σ²(y)) by one network (Kingma & Welling 2014, eq. 9).

    Args:
        network: Maps images (..., D), scaled to [0, 1], to mean and log-variance (..., 2·latent).
        levels: Number of values that a pixel takes.
    """

    def __init__(self, network: Network, levels: int):
        super().__init__()
        self.network, self.levels = network, levels

    def forward(self, y: Tensor) -> DiagonalNormal:
        """Encode y (batch, D): integer images, or real-valued pseudo-inputs in the same range."""
        x = y.float() / (self.levels - 1) if self.levels > 2 else y.float()
        loc, log_variance = widened(self.network(x)).chunk(2, dim=-1)
        return DiagonalNormal(loc, 0.5 * log_variance.clamp(*LOG_VARIANCE_BOUNDS))
