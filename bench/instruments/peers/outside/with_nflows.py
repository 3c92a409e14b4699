"""nflows' SimpleRealNVP, with the loss of its documentation. It runs in the peers' environment."""

from collections.abc import Sequence
from math import prod
from typing import Any

from nflows.flows.realnvp import SimpleRealNVP
from torch import Tensor


def build(
    shape: Sequence[int],
    couplings: int = 2,
    width: int = 8,
    blocks: int = 1,
    batch_norm: bool = False,
) -> Any:
    """Return the flow over vectors of all pixels; its couplings' networks are residual.

    Args:
        shape: Channels, height and width of an image.
        couplings: Number of couplings.
        width: Hidden units of their networks.
        blocks: Residual blocks of each network.
        batch_norm: Whether a batch normalization, by running means when the flow is evaluated,
            follows each coupling. The couplings alone scale by at most 1.001, and cannot spread
            pixels that hardly vary.
    """
    return SimpleRealNVP(
        prod(shape), width, couplings, blocks, batch_norm_between_layers=batch_norm
    )


def loss(flow: Any, x: Tensor) -> Tensor:
    """Return the mean of −log p(x) over a batch (batch, D), nats."""
    value: Tensor = -flow.log_prob(inputs=x).mean()
    return value
