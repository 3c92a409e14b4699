"""Variational dequantization: learned noise in each pixel's bin, given the image."""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.densities.dequantization import LARGEST_NOISE
from bench.densities.flows import AffineCoupling, Mask, TwoParts, check_couplings
from bench.densities.multiscale import CheckerboardCoupling
from bench.networks.mlp import Shape
from bench.noise import Noise

# torch.rand returns multiples of 2^-24, among them 0, whose logit is infinite.
SMALLEST_NOISE = 2.0**-25


class VariationalDequantization(nn.Module):
    """u ~ r(u|y) on (0, 1)^D: log P(y) ≥ E_r[log p((y + u) / L) − log r(u|y)] − D log L.

    Ho et al. 2019 (Flow++, section 3.1): u = σ(v), where affine couplings map noise ε to v. Their
    networks get y too. Unlike there, ε is logistic instead of normal. A new flow is the identity, so
    u is exactly uniform at first, and the bound is that of uniform dequantization. The heavier tails
    also keep the importance weights p/r bounded unless a coupling narrows them.

    Args:
        shape: Channels, height and width of an image.
        levels: L, the number of values that a pixel takes.
        couplings: Number of affine couplings.
        widths: Hidden units of each layer of each coupling's network.
        mask: checkerboard, or half of the flattened pixels.
    """

    def __init__(self, shape: Shape, levels: int, couplings: int, widths: list[int], mask: Mask):
        super().__init__()
        # Whoever has the option has refused it by its own name.
        check_couplings("couplings", couplings, "the noise uniform")
        self.levels = levels
        self.parts = TwoParts(shape, mask)
        sizes, seen = self.parts.sizes, sum(self.parts.sizes)
        self.couplings = nn.ModuleList(
            AffineCoupling(sizes[i % 2] + seen, sizes[1 - i % 2], widths) for i in range(couplings)
        )

    def forward(self, y: Tensor, samples: int, noise: Noise) -> tuple[Tensor, Tensor]:
        """Draw u ~ r(u|y) for y (batch, D).

        Returns:
            u, shape (samples, batch, D), and log r(u|y) in nats, shape (samples, batch).
        """
        return self.transform(logistic_noise(y, samples, noise), y)

    def transform(self, epsilon: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Map logistic noise (samples, batch, D) to u and log r(u|y), the results of ``forward``."""
        context = repeated_images(epsilon, y, self.levels)
        parts = self.parts.split(epsilon)
        terms = []
        for i, coupling in enumerate(self.couplings):
            given, changed = i % 2, 1 - i % 2
            seen = torch.cat([parts[given], context], dim=-1)
            parts[changed], term = coupling(seen, parts[changed])
            terms.append(term)
        return noise_and_density(epsilon, self.parts.joined(parts), reduce(torch.add, terms))


class ConvolutionalDequantization(nn.Module):
    """The same with couplings of checkerboards whose residual networks see the image.

    Args:
        shape: Channels, height and width of an image.
        levels: L, the number of values that a pixel takes.
        couplings: Number of affine couplings.
        channels: Feature maps of each coupling's residual network.
        blocks: Residual blocks of each coupling's network.
    """

    def __init__(self, shape: Shape, levels: int, couplings: int, channels: int, blocks: int):
        super().__init__()
        # Whoever has the option has refused it by its own name.
        check_couplings("couplings", couplings, "the noise uniform")
        self.shape, self.levels = tuple(shape), levels
        self.couplings = nn.ModuleList(
            CheckerboardCoupling(shape, i % 2, channels, blocks, context=shape[0])
            for i in range(couplings)
        )

    def forward(self, y: Tensor, samples: int, noise: Noise) -> tuple[Tensor, Tensor]:
        """Draw u ~ r(u|y) as `VariationalDequantization` does."""
        return self.transform(logistic_noise(y, samples, noise), y)

    def transform(self, epsilon: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Map logistic noise (samples, batch, D) to u and log r(u|y), the results of ``forward``."""
        context = repeated_images(epsilon, y, self.levels).reshape(-1, *self.shape)
        v, terms = epsilon.reshape(-1, *self.shape), []
        for coupling in self.couplings:
            v, term = coupling(v, context)
            terms.append(term.view(epsilon.shape[:-1]))
        return noise_and_density(epsilon, v.reshape(epsilon.shape), reduce(torch.add, terms))


def logistic_noise(y: Tensor, samples: int, noise: Noise) -> Tensor:
    """Draw standard logistic noise (samples, batch, D) for y (batch, D)."""
    uniform = noise.uniform(samples, *y.shape)
    return uniform.clamp(min=SMALLEST_NOISE).logit()


def repeated_images(noise: Tensor, y: Tensor, levels: int) -> Tensor:
    """Return y (batch, D), scaled to (−1, 1) and repeated for each sample of ``noise``."""
    scaled = (2 * y.to(noise.dtype) + 1) / levels - 1
    return scaled.expand(*noise.shape[:-1], -1)


def noise_and_density(epsilon: Tensor, v: Tensor, log_determinant: Tensor) -> tuple[Tensor, Tensor]:
    """Return u = σ(v) and log r(u|y), where v is a flow's image of logistic noise ε."""
    # The difference is taken per pixel: in the tails both terms are large and it is small.
    log_density = (logistic_log_density(epsilon) - logistic_log_density(v)).sum(-1)
    # The clamp of u is not part of the density: moving u by 2^-14 of a bin changes log p(x) by
    # less than rounding does.
    return v.sigmoid().clamp(SMALLEST_NOISE, LARGEST_NOISE), log_density - log_determinant


def logistic_log_density(x: Tensor) -> Tensor:
    """Return log σ'(x) elementwise, the standard logistic log-density."""
    return F.logsigmoid(x) + F.logsigmoid(-x)
