"""Networks: deterministic maps from vectors to vectors."""

from math import prod
from typing import Literal

import torch
import torch.nn as nn
from torch import Tensor

from bench.errors import InputError

Shape = tuple[int, ...]
Activation = Literal["relu", "tanh", "elu", "gelu", "silu"]


def fast_tanh(x: Tensor) -> Tensor:
    """Return tanh x = 2 σ(2x) − 1 elementwise, to 2.4e-7, in a quarter of tanh's time on a CPU."""
    return (2 * x).sigmoid_().mul_(2).sub_(1)


class Tanh(nn.Module):
    """tanh, computed by ``fast_tanh`` if gradients are off.

    With gradients, the backward pass of ``fast_tanh`` costs as much as its forward pass saves.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.tanh() if torch.is_grad_enabled() else fast_tanh(x)


ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": Tanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


class Network(nn.Module):
    """A map from (..., prod(inputs)) to (..., prod(outputs))."""

    def __init__(self, inputs: Shape, outputs: Shape):
        super().__init__()


def widened(outputs: Tensor) -> Tensor:
    """Return a network's outputs in float32 if autocast has computed them in 16 bits.

    Every density calls its network through this, so that 16 bits stay inside of networks: in
    bfloat16, a log-density of 100 nats would be rounded to half a nat. Without autocast, outputs
    have the type of the weights.
    """
    is_narrow = outputs.dtype in (torch.bfloat16, torch.float16)
    if is_narrow and torch.is_autocast_enabled(outputs.device.type):
        return outputs.float()
    return outputs


def checked_widths(widths: list[int]) -> list[int]:
    """Return the widths of hidden layers. Raises InputError if one is less than 1."""
    if any(width < 1 for width in widths):
        raise InputError(f"widths: {widths} contains a layer of less than 1 unit")
    return widths


class MLP(Network):
    """Fully connected layers with an activation between them.

    Args:
        inputs: Shape of one input, flattened.
        outputs: Shape of one output, flattened.
        widths: Number of hidden units of each hidden layer.
        activation: The nonlinearity after each hidden layer.
    """

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        widths: list[int] = [256, 256],
        activation: Activation = "relu",
    ):
        super().__init__(inputs, outputs)
        sizes = [prod(inputs), *checked_widths(widths)]
        layers: list[nn.Module] = []
        for size, following in zip(sizes, sizes[1:]):
            layers += [nn.Linear(size, following), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], prod(outputs)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class GatedMLP(Network):
    """Gated dense layers h = (Ax + a) · σ(Bx + b), then a linear map.

    The architecture of Tomczak & Welling 2018 (VAE with a VampPrior, section 5.2).

    Args:
        inputs: Shape of one input, flattened.
        outputs: Shape of one output, flattened.
        widths: Number of hidden units of each gated layer.
    """

    def __init__(self, inputs: Shape, outputs: Shape, widths: list[int] = [300, 300]):
        super().__init__(inputs, outputs)
        sizes = [prod(inputs), *checked_widths(widths)]
        layers: list[nn.Module] = []
        for size, following in zip(sizes, sizes[1:]):
            # GLU splits its input into value and gate, so one matrix product computes both.
            layers += [nn.Linear(size, 2 * following), nn.GLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], prod(outputs)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
