"""Likelihoods that are a distribution's masses of bins: discretized logistic and normal."""

from math import log
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.densities.decoders import SMALLEST_LOG_SCALE, Gaussian, LocationScaleDecoder
from bench.densities.dequantization import quantize
from bench.noise import Noise


class DiscretizedDecoder(LocationScaleDecoder):
    """The mass of a distribution in y's bin [y, y + 1) / L; the edge bins are unbounded.

    The masses of all bins sum to exactly 1. A subclass defines the distribution.

    Args:
        dimensions: D, the number of pixels and channels.
        levels: L, the number of values that a pixel takes.
        scale: The distribution's scale: shared learns one scalar, pixel one per dimension;
            decoder makes it a network output.
    """

    log_scale_bounds: tuple[float, float]
    # Log of the standard deviation at scale 1, and the initial shared scale in units of x.
    log_deviation = 0.0
    shared_start = 0.2

    def __init__(
        self,
        dimensions: int,
        levels: int,
        scale: Literal["shared", "pixel", "decoder"] = "decoder",
    ):
        super().__init__(dimensions, levels)
        self.scale = scale
        self.outputs_per_dimension = 2 if scale == "decoder" else 1
        if scale != "decoder":
            shared = torch.tensor([log(self.shared_start)])
            self.log_scale = nn.Parameter(shared if scale == "shared" else torch.zeros(dimensions))

    def location_and_log_scale(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return location and log-scale in units of x, broadcastable to (..., D)."""
        if self.scale == "shared":
            log_scale: Tensor = self.log_scale
        else:
            free = outputs[..., 1, :] if self.scale == "decoder" else self.log_scale
            log_scale = self.log_scale_of(free) - self.log_deviation
        return self.location(outputs), log_scale.clamp(*self.log_scale_bounds)

    def standardized_cdf(self, x: Tensor) -> Tensor:
        """Return P(X ≤ x) elementwise, for location 0 and scale 1."""
        raise NotImplementedError

    def standardized_sample(self, noise: Noise, shape: torch.Size) -> Tensor:
        """Draw from the distribution with location 0 and scale 1."""
        raise NotImplementedError

    def sample(self, outputs: Tensor, noise: Noise) -> Tensor:
        loc, log_scale = self.location_and_log_scale(outputs)
        return quantize(
            loc + log_scale.exp() * self.standardized_sample(noise, loc.shape), self.levels
        )

    def mean(self, outputs: Tensor) -> Tensor:
        loc, log_scale = self.location_and_log_scale(outputs)
        # E[y] = Σ_{k=1}^{L−1} P(y ≥ k), and P(y ≥ k) = F((loc − k/L) / s) by symmetry.
        total = torch.zeros_like(loc)
        for k in range(1, self.levels):
            total += self.standardized_cdf((loc - k / self.levels) * (-log_scale).exp())
        return total


class DiscretizedLogistic(DiscretizedDecoder):
    """The mass of a logistic distribution in y's bin [y, y + 1) / L; the edge bins are unbounded.

    Salimans et al. 2017 (PixelCNN++, eq. 2) with one component.
    """

    # From far narrower than a bin to flat over all bins; beyond, gradients vanish in float32.
    log_scale_bounds = (-7.0, 5.0)
    # The standard deviation of a logistic distribution is π/√3 times its scale.
    log_deviation = 0.6
    shared_start = 0.1

    def log_prob_of_pixels(self, outputs: Tensor, y: Tensor, noise: Noise) -> Tensor:
        loc, log_scale = self.location_and_log_scale(outputs)
        precision = (-log_scale).exp()
        lower = (y / self.levels - loc) * precision
        width = precision / self.levels
        upper = lower + width
        # σ(b) − σ(a) = σ(b) σ(−a) (1 − e^{a−b}): exact, and stable in both tails.
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
        mass = torch.where(y == 0, F.logsigmoid(upper), inside)
        return torch.where(y == self.levels - 1, F.logsigmoid(-lower), mass)

    def standardized_cdf(self, x: Tensor) -> Tensor:
        return x.sigmoid()

    def standardized_sample(self, noise: Noise, shape: torch.Size) -> Tensor:
        return noise.uniform(*shape).clamp(1e-7, 1 - 1e-7).logit()


class DiscretizedGaussian(DiscretizedDecoder):
    """The mass of a normal distribution in y's bin [y, y + 1) / L; the edge bins are unbounded.

    Ho et al. 2020 (DDPM, eq. 13) with a learned scale. Unlike ``Gaussian`` it needs no
    dequantization: it gives log P(y|z) itself, not a bound.
    """

    # The upper bound is flat over all bins.
    log_scale_bounds = (SMALLEST_LOG_SCALE, 5.0)

    def log_prob_of_pixels(self, outputs: Tensor, y: Tensor, noise: Noise) -> Tensor:
        loc, log_scale = (part.double() for part in self.location_and_log_scale(outputs))
        precision = (-log_scale).exp()
        y = y.double()
        lower = (y / self.levels - loc) * precision
        upper = ((y + 1) / self.levels - loc) * precision
        first, last = y == 0, y == self.levels - 1
        return log_normal_mass(lower, upper, open_below=first, open_above=last)

    def standardized_cdf(self, x: Tensor) -> Tensor:
        return torch.special.ndtr(x)

    def standardized_sample(self, noise: Noise, shape: torch.Size) -> Tensor:
        return noise.normal(*shape)


def log_normal_mass(lower: Tensor, upper: Tensor, open_below: Tensor, open_above: Tensor) -> Tensor:
    """Return log(Φ(upper) − Φ(lower)) elementwise, for float64 lower < upper.

    Args:
        lower: Lower ends of intervals, finite.
        upper: Upper ends, finite.
        open_below: Where true, the interval is (−∞, upper).
        open_above: Where true, the interval is (lower, ∞). Never true together with open_below.

    log Φ(b) + log(1 − Φ(a)/Φ(b)) is accurate for intervals in the lower tail, so intervals in the
    upper tail are mirrored. For an open interval the ratio is 0. It is set before the logarithm:
    otherwise the gradient through the unused branch of ``where`` would be 0 · ∞.
    """
    mirrored = ((lower + upper > 0) & ~open_below) | open_above
    far = torch.where(mirrored, -upper, lower)
    near = torch.where(mirrored, -lower, upper)
    is_open = open_below | open_above
    log_near = torch.special.log_ndtr(near)
    log_ratio = torch.special.log_ndtr(far) - log_near
    rest = torch.log(-torch.expm1(torch.where(is_open, -1.0, log_ratio)))
    return log_near + torch.where(is_open, 0.0, rest)


def log_mass_of_pixels(decoder: Gaussian, outputs: Tensor, y: Tensor) -> Tensor:
    """Return log ∫₀¹ p((y + u)/L | z) du/L of each pixel, float64: a normal's mass in y's bin."""
    loc, log_scale = (part.double() for part in decoder.location_and_log_scale(outputs))
    precision = (-log_scale).exp()
    lower, upper = (((y.double() + end) / decoder.levels - loc) * precision for end in (0, 1))
    closed = torch.zeros_like(lower, dtype=torch.bool)
    return log_normal_mass(lower, upper, open_below=closed, open_above=closed)
