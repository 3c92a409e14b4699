"""The multi-scale convolutional flow of Dinh et al. 2017 (RealNVP, section 3.6)."""

from math import prod

import torch
import torch.nn as nn
from torch import Tensor

from bench.errors import InputError
from bench.networks.convolutional import convolution, residual_blocks
from bench.networks.mlp import Shape
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
    """Return the half of the channels that goes on and the half that is done, (N, 2C, H, W) each.

    One diagonal of each 2 × 2 square goes on, as in the authors' code, so that what goes on is
    spread evenly over the image.
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
    """A residual network that puts out log-scale and shift of an affine coupling.

    The log-scale is a tanh times a learned range, one for each channel; the last layer starts at
    0, so a coupling starts as the identity.

    Args:
        inputs: Channels of what is given.
        changed: Channels of what is changed.
        channels: Feature maps of the residual blocks.
        blocks: Number of residual blocks.
    """

    def __init__(self, inputs: int, changed: int, channels: int, blocks: int):
        super().__init__()
        # The last weight is not normalised: one that starts at 0 has no direction.
        last = nn.Conv2d(channels, 2 * changed, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(
            convolution(inputs, channels), *residual_blocks(channels, blocks), last
        )
        self.range = nn.Parameter(torch.ones(changed, 1, 1))

    def forward(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, inputs, H, W) to log-scale and shift, (N, changed, H, W) each."""
        raw, shift = self.layers(given).chunk(2, dim=1)
        return self.range * raw.tanh(), shift


class CheckerboardCoupling(nn.Module):
    """Pixels of one colour of a chessboard change, given those of the other (eq. 9).

    Args:
        shape: Channels, height and width.
        parity: The parity of row + column of the pixels that are given.
        channels: Feature maps of the network.
        blocks: Residual blocks of the network.
    """

    def __init__(self, shape: Shape, parity: int, channels: int, blocks: int):
        super().__init__()
        rows, columns = torch.arange(shape[1])[:, None], torch.arange(shape[2])
        given = ((rows + columns) % 2 == parity).float()
        self.register_buffer("given", given[None], persistent=False)
        # The mask is an input too, as in the authors' code: a 0 may be a pixel or a gap.
        self.network = CouplingNetwork(shape[0] + 1, shape[0], channels, blocks)

    def scale_and_shift(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mask = self.given.expand(len(images), -1, -1, -1)
        log_scale, shift = self.network(torch.cat([images * self.given, mask], dim=1))
        changed = 1 - self.given
        return log_scale * changed, shift * changed

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W) to the same shape, and log-determinants (N,) in nats."""
        log_scale, shift = self.scale_and_shift(images)
        return images * log_scale.exp() + shift, log_scale.flatten(1).sum(1)

    def inverse(self, images: Tensor) -> Tensor:
        log_scale, shift = self.scale_and_shift(images)
        return (images - shift) * (-log_scale).exp()


class ChannelCoupling(nn.Module):
    """One half of the channels of a squeezed image changes, given the other half.

    Args:
        halved: Half the number of channels: the upper or the lower rows before the squeeze,
            which no chessboard splits alike.
        given: 0 if the first half is given, 1 if the second is.
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
    """The couplings at one scale: of chessboards, then, but for the last scale, of channels.

    Args:
        shape: Channels, height and width of what comes in.
        couplings: Number of couplings with each kind of mask; the last scale has one more.
        channels: Feature maps of the networks.
        blocks: Residual blocks of the networks.
        last: Is this the last scale, which keeps its shape? Else the image is squeezed.
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
        log_determinant = images.new_zeros(len(images))
        for coupling in self.checkerboard:
            images, term = coupling(images)
            log_determinant = log_determinant + term
        if not self.last:
            images = squeeze(images)
        for coupling in self.channelwise:
            images, term = coupling(images)
            log_determinant = log_determinant + term
        return images, log_determinant

    def inverse(self, images: Tensor) -> Tensor:
        for coupling in reversed(self.channelwise):
            images = coupling.inverse(images)
        if not self.last:
            images = unsqueeze(images)
        for coupling in reversed(self.checkerboard):
            images = coupling.inverse(images)
        return images


def check_scales(shape: Shape, scales: int) -> None:
    if len(shape) != 3:
        raise InputError(f"flow: {tuple(shape)} is not channels, height and width of an image")
    factor = 2 ** (scales - 1)
    if shape[1] % factor or shape[2] % factor or shape[1] * shape[2] < 2 * factor**2:
        raise InputError(
            f"scales: an image of {shape[1]} × {shape[2]} pixels cannot be halved "
            f"{scales - 1} times and keep 2 pixels"
        )


class MultiScaleFlow(nn.Module):
    """Couplings at several scales; half of the dimensions are done after each but the last.

    Every z stands where the pixel stands that it came from, so that a new flow is the identity.

    Args:
        shape: Channels, height and width of one image, flattened in the data.
        scales: Number of scales; from each to the next the image's sides are halved.
        couplings_per_mask: Number of couplings with each kind of mask at each scale. The last
            scale has chessboards only, and one more of them; the paper has 3 and 4.
        channels: Feature maps of the coupling networks.
        blocks: Residual blocks of the coupling networks.
    """

    def __init__(
        self, shape: Shape, scales: int, couplings_per_mask: int, channels: int, blocks: int
    ):
        super().__init__()
        check_at_least_one(
            "", scales=scales, couplings=couplings_per_mask, channels=channels, blocks=blocks
        )
        check_scales(shape, scales)
        self.shape = tuple(shape)
        # What the scales do to the places of pixels alone; half as many of twice the channels go on.
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
        # places[i]: where the i-th of the factored numbers stands in the image; order inverts it.
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("order", places.argsort(), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (..., D) to z (..., D) and log |det ∂z/∂x| (...) in nats."""
        images = x.reshape(-1, *self.shape)
        log_determinant = x.new_zeros(len(images))
        parts = []
        for scale in self.scales:
            images, term = scale(images)
            log_determinant = log_determinant + term
            if not scale.last:
                images, done = factor_out(images)
                parts.append(done.flatten(1))
        z = torch.cat([*parts, images.flatten(1)], dim=1)[:, self.order]
        return z.reshape(x.shape), log_determinant.reshape(x.shape[:-1])

    def inverse(self, z: Tensor) -> Tensor:
        """Map z (..., D) back to x (..., D)."""
        sizes = [prod(shape) for shape in self.part_shapes]
        flat = z.reshape(-1, prod(self.shape))[:, self.places].split(sizes, dim=1)
        *parts, images = [part.unflatten(1, s) for part, s in zip(flat, self.part_shapes)]
        for scale in reversed(self.scales):
            if not scale.last:
                images = join_factored(images, parts.pop())
            images = scale.inverse(images)
        return images.reshape(z.shape)
