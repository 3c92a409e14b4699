"""The discretized normal likelihood: masses of bins, in float64 where differences cancel."""

from math import log

import torch
from torch import Tensor

from bench.densities.decoders import DiscretizedDecoder
from bench.noise import Noise


class DiscretizedGaussian(DiscretizedDecoder):
    """The mass of a normal distribution in y's bin [y, y + 1) / L; the edge bins are open.

    Ho et al. 2020 (DDPM, eq. 13) with a scale that is learned. Unlike ``Gaussian`` it needs no
    dequantization: it gives log P(y|z) itself, not a bound.
    """

    # From a tenth of the narrowest bin in use (1/256) to flat over all bins.
    log_scale_bounds = (log(0.1 / 256), 5.0)

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
        open_below: Where the interval is (−∞, upper) instead.
        open_above: Where it is (lower, ∞) instead; nowhere both.

    log Φ(b) + log(1 − Φ(a)/Φ(b)) keeps its digits while the interval lies in the lower tail, so
    an interval in the upper one is mirrored. The ratio of an open interval is 0; it is set before
    the logarithm, because a gradient through the branch not taken would be 0 · ∞.
    """
    mirrored = ((lower + upper > 0) & ~open_below) | open_above
    far = torch.where(mirrored, -upper, lower)
    near = torch.where(mirrored, -lower, upper)
    is_open = open_below | open_above
    log_near = torch.special.log_ndtr(near)
    log_ratio = torch.special.log_ndtr(far) - log_near
    rest = torch.log(-torch.expm1(torch.where(is_open, -1.0, log_ratio)))
    return log_near + torch.where(is_open, 0.0, rest)
