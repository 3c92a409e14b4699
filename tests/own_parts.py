"""Parts as a user writes them, outside of the package."""

WIDE = '''"""A normal prior of another width."""

from dataclasses import dataclass

from torch.distributions import Normal

from bench.densities.priors import Prior


@dataclass(frozen=True)
class WideDensity:
    size: int
    width: float

    def log_prob(self, z):
        return Normal(0.0, self.width).log_prob(z).sum(-1)

    def sample(self, n, noise):
        return self.width * noise.normal(n, self.size)


class Wide(Prior):
    """A centred normal density.

    Args:
        width: Its standard deviation.
    """

    def __init__(self, latent_dimensions: int, dimensions: int, levels: int, width: float = 2.0):
        super().__init__(latent_dimensions, dimensions, levels)
        self.density = WideDensity(latent_dimensions, width)

    def forward(self, encode, noise, index):
        return self.density
'''
