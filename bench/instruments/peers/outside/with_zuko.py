"""zuko's RealNVP, with the loss of its documentation. It runs in the peers' environment."""

from collections.abc import Sequence
from math import prod
from typing import Any

import zuko
from torch import Tensor


def build(shape: Sequence[int], couplings: int = 2, widths: Sequence[int] = (8,)) -> Any:
    """Return the flow over vectors of all pixels; each coupling halves them by turns of pixels."""
    return zuko.flows.RealNVP(prod(shape), transforms=couplings, hidden_features=tuple(widths))


def loss(flow: Any, x: Tensor) -> Tensor:
    """Return the mean of −log p(x) over a batch (batch, D), nats."""
    value: Tensor = -flow().log_prob(x).mean()
    return value
