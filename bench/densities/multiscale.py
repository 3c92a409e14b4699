"""The multi-scale convolutional flow of Dinh et al. 2017 (RealNVP, section 3.6)."""

from functools import reduce
from math import prod

import torch
import torch.nn as nn
from torch import Tensor

from bench.errors import InputError
from bench.networks.convolutional import convolution, residual_blocks
from bench.networks.mlp import Shape, widened
from bench.settings import check_at_least_one


def squeeze(images: Tensor) -> Tensor:
    """Map (N, C, H, W) to (N, 4C, H/2, W/2): each 2 × 2 square becomes one pixel.

    The channels are those of the upper left, upper right, lower left and lower right pixel.
    """
    n, channels, height, width = images.shape
    squares = images.reshape(n, channels, height // 2, 2, width // 2, 2)
    return squares.permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * channels, height // 2, width // 2)


def unsqueeze(images: Tensor) -> Tensor:
    """Undo ``squeeze``."""
    n, channels, height, width = images.shape
    squares = images.reshape(n, 2, 2, channels // 4, height, width)
    return squares.permute(0, 3, 4, 1, 5, 2).reshape(n, channels // 4, 2 * height, 2 * width)


def factor_out(squeezed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the channels for the next scale and the factored-out channels, (N, 2C, H, W) each.

    As in the authors' code, one diagonal of each 2 × 2 square stays, so that the next scale sees
    pixels from all over the image.
    """
    upper_left, upper_right, lower_left, lower_right = squeezed.chunk(4, dim=1)
    kept = torch.cat([upper_left, lower_right], dim=1)
    return kept, torch.cat([upper_right, lower_left], dim=1)


def join_factored(kept: Tensor, done: Tensor) -> Tensor:
    """Undo ``factor_out``."""
    upper_left, lower_right = kept.chunk(2, dim=1)
    upper_right, lower_left = done.chunk(2, dim=1)
    return torch.cat([upper_left, upper_right, lower_left, lower_right], dim=1)


class CouplingNetwork(nn.Module):
    """A residual network from the fixed part of an image to a coupling's log-scale and shift.

    The log-scale is a tanh times a learned range per channel. The last layer is initialized to 0,
    so a new coupling is the identity.

    Args:
        inputs: Channels of the fixed part.
        changed: Channels of the changed part.
        channels: Feature maps of the residual blocks.
        blocks: Number of residual blocks.
    """

    def __init__(self, inputs: int, changed: int, channels: int, blocks: int):
        super().__init__()
        # Without weight normalization, which needs a direction that a weight of 0 does not have.
        last = nn.Conv2d(channels, 2 * changed, 3, padding=1)
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(
            convolution(inputs, channels), *residual_blocks(channels, blocks), last
        )
        self.range = nn.Parameter(torch.ones(changed, 1, 1))

    def forward(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, inputs, H, W) to log-scale and shift, (N, changed, H, W) each."""
        raw, shift = widened(self.layers(given)).chunk(2, dim=1)
        return self.range * raw.tanh(), shift


class CheckerboardCoupling(nn.Module):
    """Changes the pixels of one colour of a checkerboard, given those of the other (eq. 9).

    Args:
        shape: Channels, height and width.
        parity: The parity of row + column of the fixed pixels.
        channels: Feature maps of the network.
        blocks: Residual blocks of the network.
        context: Channels of another image that the network sees as well.
    """

    given: Tensor
    changed: Tensor

    def __init__(self, shape: Shape, parity: int, channels: int, blocks: int, context: int = 0):
        super().__init__()
        rows, columns = torch.arange(shape[1])[:, None], torch.arange(shape[2])
        given = ((rows + columns) % 2 == parity).float()
        self.register_buffer("given", given[None], persistent=False)
        self.register_buffer("changed", 1 - given[None], persistent=False)
        # As in the authors' code the mask is an input too: it tells pixels of value 0 from gaps.
        self.network = CouplingNetwork(shape[0] + 1 + context, shape[0], channels, blocks)

    def scale_and_shift(self, images: Tensor, *context: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-scale and shift (N, C, H, W), 0 at the fixed pixels."""
        mask = self.given.expand(len(images), -1, -1, -1)
        log_scale, shift = self.network(torch.cat([images * self.given, mask, *context], dim=1))
        return log_scale * self.changed, shift * self.changed

    def forward(self, images: Tensor, *context: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W) to the same shape, and log-determinants (N,) in nats."""
        log_scale, shift = self.scale_and_shift(images, *context)
        return images * log_scale.exp() + shift, log_scale.flatten(1).sum(1)

    def inverse(self, images: Tensor) -> Tensor:
        log_scale, shift = self.scale_and_shift(images)
        return (images - shift) * (-log_scale).exp()


class ChannelCoupling(nn.Module):
    """Changes one half of the channels of a squeezed image, given the other half.

    Args:
        halved: Half the number of channels. The halves are the upper and the lower rows before
            the squeeze, a split that no checkerboard makes.
        given: The fixed half: 0 for the first, 1 for the second.
        channels: Feature maps of the network.
        blocks: Residual blocks of the network.
    """

    def __init__(self, halved: int, given: int, channels: int, blocks: int):
        super().__init__()
        self.given = given
        self.network = CouplingNetwork(halved, halved, channels, blocks)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 2 · halved, H, W) to the same shape, and log-determinants (N,) in nats."""
        halves = list(images.chunk(2, dim=1))
        log_scale, shift = self.network(halves[self.given])
        halves[1 - self.given] = halves[1 - self.given] * log_scale.exp() + shift
        return torch.cat(halves, dim=1), log_scale.flatten(1).sum(1)

    def inverse(self, images: Tensor) -> Tensor:
        halves = list(images.chunk(2, dim=1))
        log_scale, shift = self.network(halves[self.given])
        halves[1 - self.given] = (halves[1 - self.given] - shift) * (-log_scale).exp()
        return torch.cat(halves, dim=1)


class Scale(nn.Module):
    """The couplings at one scale: checkerboards, then channels, which the last scale does not have.

    Args:
        shape: Channels, height and width of the input.
        couplings: Number of couplings with each kind of mask; the last scale has one more.
        channels: Feature maps of the networks.
        blocks: Residual blocks of the networks.
        last: Whether this is the last scale, which keeps the shape; the others squeeze it.
    """

    def __init__(self, shape: Shape, couplings: int, channels: int, blocks: int, last: bool):
        super().__init__()
        self.last = last
        self.checkerboard = nn.ModuleList(
            CheckerboardCoupling(shape, i % 2, channels, blocks) for i in range(couplings + last)
        )
        self.channelwise = nn.ModuleList(
            ChannelCoupling(2 * shape[0], i % 2, channels, blocks)
            for i in range(0 if last else couplings)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W) to itself or to (N, 4C, H/2, W/2), and log-determinants (N,) in nats."""
        terms = []
        for coupling in self.checkerboard:
            images, term = coupling(images)
            terms.append(term)
        if not self.last:
            images = squeeze(images)
        for coupling in self.channelwise:
            images, term = coupling(images)
            terms.append(term)
        return images, reduce(torch.add, terms)

    def inverse(self, images: Tensor) -> Tensor:
        for coupling in reversed(self.channelwise):
            assert isinstance(coupling, ChannelCoupling)
            images = coupling.inverse(images)
        if not self.last:
            images = unsqueeze(images)
        for coupling in reversed(self.checkerboard):
            assert isinstance(coupling, CheckerboardCoupling)
            images = coupling.inverse(images)
        return images


def check_scales(shape: Shape, scales: int) -> None:
    """Raise InputError unless an image of this shape can be halved ``scales`` − 1 times."""
    if len(shape) != 3:
        raise InputError(f"flow: {tuple(shape)} is not channels, height and width of an image")
    factor = 2 ** (scales - 1)
    if shape[1] % factor or shape[2] % factor or shape[1] * shape[2] < 2 * factor**2:
        raise InputError(
            f"scales: an image of {shape[1]} × {shape[2]} pixels cannot be halved "
            f"{scales - 1} times and keep 2 pixels"
        )


class MultiScaleFlow(nn.Module):
    """Couplings at several scales; each but the last factors out half of its dimensions.

    Each element of z has the position of the pixel it came from, so a new flow is the identity.

    Args:
        shape: Channels, height and width of one image, flattened in the data.
        scales: Number of scales; each has half the height and width of the one before.
        couplings_per_mask: Number of couplings with each kind of mask at each scale. The last
            scale has one more checkerboard and no channel masks; the paper has 3 and 4.
        channels: Feature maps of the coupling networks.
        blocks: Residual blocks of the coupling networks.
    """

    places: Tensor
    order: Tensor

    def __init__(
        self, shape: Shape, scales: int, couplings_per_mask: int, channels: int, blocks: int
    ):
        super().__init__()
        check_at_least_one(
            "", scales=scales, couplings=couplings_per_mask, channels=channels, blocks=blocks
        )
        check_scales(shape, scales)
        self.shape = tuple(shape)
        # How the scales permute the pixels' positions; the couplings do not move them.
        places = torch.arange(prod(shape)).reshape(1, *shape)
        made, parts = [], []
        for number in range(scales):
            last = number == scales - 1
            made.append(Scale(places.shape[1:], couplings_per_mask, channels, blocks, last))
            if not last:
                places, done = factor_out(squeeze(places))
                parts.append(done)
        self.scales = nn.ModuleList(made)
        self.part_shapes = [tuple(part.shape[1:]) for part in (*parts, places)]
        places = torch.cat([part.flatten() for part in (*parts, places)])
        # places[i] is the position in the image of the i-th factored number; order inverts it.
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("order", places.argsort(), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (..., D) to z (..., D) and log |det ∂z/∂x| (...) in nats."""
        images = x.reshape(-1, *self.shape)
        parts, terms = [], []
        for scale in self.scales:
            images, term = scale(images)
            terms.append(term)
            if not scale.last:
                images, done = factor_out(images)
                parts.append(done.flatten(1))
        z = torch.cat([*parts, images.flatten(1)], dim=1)[:, self.order]
        return z.reshape(x.shape), reduce(torch.add, terms).reshape(x.shape[:-1])

    def inverse(self, z: Tensor) -> Tensor:
        """Map z (..., D) back to x (..., D)."""
        sizes = [prod(shape) for shape in self.part_shapes]
        flat = z.reshape(-1, prod(self.shape))[:, self.places].split(sizes, dim=1)
        *parts, images = [part.unflatten(1, s) for part, s in zip(flat, self.part_shapes)]
        for scale in reversed(self.scales):
            assert isinstance(scale, Scale)
            if not scale.last:
                images = join_factored(images, parts.pop())
            images = scale.inverse(images)
        return images.reshape(z.shape)
