"""Convolutional networks for images. Like all networks, they map flattened vectors to vectors.

They use no batch statistics: the output for a datum must not depend on the rest of its batch.
"""

from math import isqrt, prod

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.parametrizations import weight_norm

from bench.errors import InputError
from bench.networks.mlp import Network, Shape
from bench.settings import check_at_least_one

# The image is halved twice on its way to the latent vector.
REDUCTION = 4


def convolution(inputs: int, outputs: int) -> nn.Module:
    """Return a weight-normalised 3 × 3 convolution (N, inputs, H, W) → (N, outputs, H, W)."""
    return weight_norm(nn.Conv2d(inputs, outputs, 3, padding=1))


def halving(inputs: int, outputs: int) -> nn.Module:
    """Return a convolution (N, inputs, H, W) → (N, outputs, H/2, W/2)."""
    return weight_norm(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1))


def doubling(inputs: int, outputs: int) -> nn.Module:
    """Return a convolution (N, inputs, H, W) → (N, outputs, 2H, 2W)."""
    # A kernel of twice the stride covers every pixel equally often: no checkerboard artifacts.
    return weight_norm(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), dim=1)


class ResidualBlock(nn.Module):
    """x + conv(elu(conv(elu(x)))): a pre-activation block (He et al. 2016b, figure 4e).

    It has weight normalization (Salimans & Kingma 2016) instead of batch normalization.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        return x + self.second(F.elu(self.first(F.elu(x))))


def residual_blocks(channels: int, blocks: int) -> list[nn.Module]:
    """Return ``blocks`` residual blocks and a final activation."""
    return [*(ResidualBlock(channels) for _ in range(blocks)), nn.ELU()]


def image_shape(dimensions: int) -> Shape:
    """Return (channels, side, side) of the square grey or RGB image that has D dimensions.

    There is at most one: D and D/3 cannot both be squares.
    """
    for channels in (1, 3):
        side = isqrt(dimensions // channels)
        if channels * side**2 == dimensions:
            return channels, side, side
    raise InputError(
        f"ResidualConvolutional: {dimensions} dimensions are not a square image of 1 or 3 channels"
    )


def check_image(shape: Shape) -> None:
    """Raise InputError unless the two convolutions of stride 2 fit an image of this shape."""
    channels, height, width = shape
    if channels not in (1, 3) or height != width or height < REDUCTION or height % REDUCTION:
        raise InputError(
            f"ResidualConvolutional: an image of shape {tuple(shape)} is not square with 1 or 3 "
            f"channels and a side divisible by {REDUCTION}"
        )


class ResidualConvolutional(Network):
    """Residual convolutions between a square image and a vector, in either direction.

    The shapes determine the direction. Inputs (C, H, W) and outputs (n,) give an encoder; inputs
    (n,) and outputs (parameters per dimension, C·H·W) give a decoder, its mirror image. Residual
    blocks are at a half and a quarter of the image's side, as in the ResNet VAE of Kingma et al.
    2016 (inverse autoregressive flows, section 6.1).

    Args:
        inputs: Shape of one input, flattened.
        outputs: Shape of one output, flattened.
        channels: Feature maps at half the image's side; at a quarter there are twice as many.
        blocks: Number of residual blocks at each of the two sizes.
    """

    def __init__(self, inputs: Shape, outputs: Shape, channels: int = 32, blocks: int = 2):
        super().__init__(inputs, outputs)
        check_at_least_one("", channels=channels, blocks=blocks)
        kinds = len(inputs), len(outputs)
        if kinds == (3, 1):
            self.layers = encoding_layers(inputs, outputs[0], channels, blocks)
        elif kinds == (1, 2):
            self.layers = decoding_layers(inputs[0], outputs, channels, blocks)
        else:
            raise InputError(
                f"ResidualConvolutional: maps (C, H, W) to (n,) or (n,) to (parameters, C·H·W), "
                f"not {tuple(inputs)} to {tuple(outputs)}"
            )
        self.inputs = prod(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., prod(inputs)) to (..., prod(outputs))."""
        return self.layers(x.reshape(-1, self.inputs)).reshape(*x.shape[:-1], -1)


def encoding_layers(image: Shape, size: int, channels: int, blocks: int) -> nn.Sequential:
    """Return the layers from (N, C·H·W) to (N, size)."""
    check_image(image)
    pixels = image[1] * image[2] // REDUCTION**2
    return nn.Sequential(
        nn.Unflatten(1, image),
        halving(image[0], channels),
        *residual_blocks(channels, blocks),
        halving(channels, 2 * channels),
        *residual_blocks(2 * channels, blocks),
        nn.Flatten(),
        nn.Linear(2 * channels * pixels, size),
    )


def decoding_layers(size: int, outputs: Shape, channels: int, blocks: int) -> nn.Sequential:
    """Return the layers from (N, size) to (N, parameters · C·H·W), flattened in this order."""
    parameters, dimensions = outputs
    image = image_shape(dimensions)
    check_image(image)
    side = image[1] // REDUCTION
    return nn.Sequential(
        nn.Linear(size, 2 * channels * side**2),
        nn.Unflatten(1, (2 * channels, side, side)),
        *residual_blocks(2 * channels, blocks),
        doubling(2 * channels, channels),
        *residual_blocks(channels, blocks),
        doubling(channels, channels),
        nn.ELU(),
        convolution(channels, parameters * image[0]),
        nn.Flatten(),
    )
