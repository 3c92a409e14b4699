"""normflows' RealNVP as its README builds one, with its forward KL. It runs in the peers' environment."""

from collections.abc import Sequence
from math import prod
from typing import Any

import normflows
from torch import Tensor

# The loop of its README takes no step for a batch whose loss is NaN or infinite.
SKIPS_WHAT_IS_NOT_FINITE = True


def build(
    shape: Sequence[int], couplings: int = 2, widths: Sequence[int] = (8,), alpha: float = 0.05
) -> Any:
    """Return the flow over vectors of all pixels in [0, 1), its own logits included."""
    D = prod(shape)
    parts: list[Any] = []
    for _ in range(couplings):
        network = normflows.nets.MLP([D - D // 2, *widths, 2 * (D // 2)], init_zeros=True)
        parts += [
            normflows.flows.AffineCouplingBlock(network),
            normflows.flows.Permute(D, mode="swap"),
        ]
    parts.append(normflows.transforms.Logit(alpha))
    base = normflows.distributions.DiagGaussian(D, trainable=False)
    return normflows.NormalizingFlow(base, parts)


def loss(flow: Any, x: Tensor) -> Tensor:
    """Return the mean of −log p(x) over a batch (batch, D), nats."""
    value: Tensor = flow.forward_kld(x)
    return value
