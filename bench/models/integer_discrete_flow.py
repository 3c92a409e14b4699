"""An integer discrete flow: a bijection of integers, which needs no dequantization."""

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.densities.flows import Mask, TwoParts, check_couplings, start_at_zero
from bench.models.terms import Model, Terms
from bench.networks.mlp import MLP, Shape, widened
from bench.noise import Noise, cumulative
from bench.settings import check_at_least_one

# Scales of the prior's logistics, in standard deviations of a pixel: from far narrower than a level to
# flat over all of them.
LOG_SCALE_BOUNDS = (-7.0, 5.0)
# A pixel that is constant in training may vary in a test image: at least so many levels.
SMALLEST_DEVIATION = 0.5


class IntegerDiscreteFlow(Model):
    """A flow of additive couplings with rounded shifts on Z^D (Hoogeboom et al. 2019).

    z_b = y_b + ⌊t(y_a)⌉ is a bijection of integers, so log P(y) = log P(z) without a determinant, and
    nothing bounds it: the likelihood is exact. The prior of z is a factorized mixture of logistics'
    masses on integers. Gradients pass the rounding as if it were not there (section 3.1 there). The
    support is all of Z^D, so images share the probability with integers that are no levels.

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        couplings: Number of additive couplings.
        widths: Hidden units of each layer of each coupling's network.
        components: Number of logistics of the prior, for each dimension.
        mask: checkerboard, or half of the flattened pixels.
    """

    prior_name = "LogisticMixture"
    bound = "exact"
    data_mean: Tensor
    data_deviation: Tensor

    # Each parameter is an option of configurations and part of run keys.
    def __init__(
        self,
        shape: Shape,
        levels: int,
        couplings: int = 8,
        widths: list[int] = [256, 256],
        components: int = 5,
        mask: Mask = "checkerboard",
    ):
        super().__init__(shape, levels)
        check_couplings("model.couplings", couplings, "the pixels unchanged")
        check_at_least_one("model.", components=components)
        self.dimensions = prod(shape)
        self.parts = TwoParts(shape, mask)
        self.register_buffer("data_mean", torch.full((self.dimensions,), (levels - 1) / 2))
        self.register_buffer("data_deviation", torch.full((self.dimensions,), levels / 4))
        sizes = self.parts.sizes
        networks = [MLP((sizes[i % 2],), (sizes[1 - i % 2],), widths) for i in range(couplings)]
        self.couplings = nn.ModuleList(networks)
        for network in networks:
            start_at_zero(network)
        # Locations are spread, so that the components differ; in standard deviations of a pixel.
        spread = torch.linspace(-1, 1, components) if components > 1 else torch.zeros(1)
        self.locations = nn.Parameter(spread.repeat(self.dimensions, 1))
        self.log_scales = nn.Parameter(torch.full((self.dimensions, components), -1.0))
        self.logits = nn.Parameter(torch.zeros(self.dimensions, components))

    def attach(self, training_images: Tensor) -> None:
        images = training_images.double()
        self.data_mean.copy_(images.mean(0))
        self.data_deviation.copy_(images.std(0, correction=0).clamp(min=SMALLEST_DEVIATION))

    def shift(self, coupling: nn.Module, given: Tensor) -> Tensor:
        """Return the integers by which a coupling moves its part, given the other part.

        They are at most L, so that integers stay exact in float32 whatever the weights are.
        """
        scaled = 2 * given / (self.levels - 1) - 1
        shift = widened(coupling(scaled)).tanh() * self.levels
        # Rounded; the gradient is that of the number before rounding.
        return shift + (shift.round() - shift).detach()

    def forward(self, y: Tensor) -> Tensor:
        """Map integers y (..., D), as floats, to integers z (..., D)."""
        parts = self.parts.split(y)
        for i, coupling in enumerate(self.couplings):
            given, changed = i % 2, 1 - i % 2
            parts[changed] = parts[changed] + self.shift(coupling, parts[given])
        return self.parts.joined(parts)

    def inverse(self, z: Tensor) -> Tensor:
        """Map integers z (..., D) back to y (..., D)."""
        parts = self.parts.split(z)
        for i, coupling in reversed(list(enumerate(self.couplings))):
            given, changed = i % 2, 1 - i % 2
            parts[changed] = parts[changed] - self.shift(coupling, parts[given])
        return self.parts.joined(parts)

    def log_prior(self, z: Tensor) -> Tensor:
        """Return log P(z) in nats, (...), for integers z (..., D)."""
        location = self.data_mean[:, None] + self.data_deviation[:, None] * self.locations
        log_scale = self.log_scales.clamp(*LOG_SCALE_BOUNDS) + self.data_deviation.log()[:, None]
        precision = (-log_scale).exp()
        lower = (z[..., None] - 0.5 - location) * precision
        # σ(b) − σ(a) = σ(b) σ(−a) (1 − e^{a−b}), as in `DiscretizedLogistic`, with unit bins.
        mass = F.logsigmoid(lower + precision) + F.logsigmoid(-lower)
        mass = mass + torch.log(-torch.expm1(-precision))
        return (mass + self.logits.log_softmax(-1)).logsumexp(-1).sum(-1)

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> Terms:
        return Terms(reconstruction=self.log_prior(self(y.float())).expand(samples, -1))

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draw n images (n, D); integers that are no levels become the nearest level."""
        weights = cumulative(self.logits.softmax(-1), -1)
        u = noise.uniform(n, self.dimensions, 1)
        chosen = (weights[:, :-1] <= u).sum(-1, keepdim=True)
        pick = lambda table: table.expand(n, -1, -1).gather(-1, chosen).squeeze(-1)
        logistic = noise.uniform(n, self.dimensions).clamp(1e-7, 1 - 1e-7).logit()
        scale = pick(self.log_scales.clamp(*LOG_SCALE_BOUNDS)).exp()
        z = self.data_mean + self.data_deviation * (pick(self.locations) + scale * logistic)
        return self.inverse(z.round()).clamp(0, self.levels - 1)
