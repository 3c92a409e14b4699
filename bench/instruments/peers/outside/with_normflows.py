"""normflows' RealNVP as its README builds one, with its forward KL. It runs in the peers' environment."""

from collections.abc import Sequence
from math import prod
from typing import Any

import normflows
from torch import Tensor

# The loop of its README takes no step for a batch whose loss is NaN or infinite.
SKIPS_WHAT_IS_NOT_FINITE = True


def build(
    shape: Sequence[int],
    couplings: int = 2,
    widths: Sequence[int] = (8,),
    alpha: float = 0.05,
    act_norm: bool = False,
    scale_map: str = "exp",
) -> Any:
    """Return the flow over vectors of all pixels in [0, 1), its own logits included.

    Args:
        shape: Channels, height and width of an image.
        couplings: Number of couplings.
        widths: Hidden units of their networks.
        alpha: α of the logits.
        act_norm: Whether each coupling comes with an ActNorm, as in the library's example of RealNVP.
        scale_map: exp lets a coupling scale without a limit: if it has to spread pixels that hardly
            vary, losses become infinite, and so does −log p of test images. sigmoid, as in Glow, has
            a limit, and needs ``act_norm`` for such pixels.
    """
    D = prod(shape)
    parts: list[Any] = []
    for _ in range(couplings):
        network = normflows.nets.MLP([D - D // 2, *widths, 2 * (D // 2)], init_zeros=True)
        parts += [
            normflows.flows.AffineCouplingBlock(network, scale_map=scale_map),
            normflows.flows.Permute(D, mode="swap"),
        ]
        parts += [normflows.flows.ActNorm(D)] if act_norm else []
    parts.append(normflows.transforms.Logit(alpha))
    base = normflows.distributions.DiagGaussian(D, trainable=False)
    return normflows.NormalizingFlow(base, parts)


def loss(flow: Any, x: Tensor) -> Tensor:
    """Return the mean of −log p(x) over a batch (batch, D), nats."""
    value: Tensor = flow.forward_kld(x)
    return value
