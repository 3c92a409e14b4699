"""The Bernoulli log-likelihood of whole images, with few logarithms and passes over memory."""

from typing import Any

import torch
from torch import Tensor

# Number of factors in [½, 1] in one product before its logarithm: float32 represents 2⁻¹¹².
GROUP = 112


class BernoulliLogLikelihood(torch.autograd.Function):
    """Σ_d log Bern(y_d; σ(l_d)) in nats, for logits l (..., D) and y in {0, 1} of shape (batch, D),
    of the same type.

    With m = l where y is 1 and m = −l where y is 0, a summand is log σ(m) = min(m, 0) + log σ(|m|).
    All σ(|m|) are at least ½, so float32 can represent the product of 112 of them, and its logarithm
    replaces 112. A sum of D logarithms takes twice the time and is not more accurate.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, y: Tensor) -> Tensor:
        signed = logits * (2 * y).sub_(1)
        below = signed.clamp(max=0).sum(-1)
        above = signed.abs_().sigmoid_()
        whole = above.shape[-1] // GROUP * GROUP
        products = above[..., :whole].unflatten(-1, (-1, GROUP)).prod(-1)
        total = below.add_(products.log_().sum(-1))
        if whole == above.shape[-1]:
            return total
        return total.add_(above[..., whole:].prod(-1).log_())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, y = ctx.saved_tensors
        return logits.sigmoid().neg_().add_(y).mul_(gradient.unsqueeze(-1)), None


def bernoulli_log_likelihood(logits: Tensor, y: Tensor) -> Tensor:
    """Return log P(y) in nats, (..., batch), of independent Bernoulli pixels with these logits.

    Args:
        logits: Log-odds of a one, (..., batch, D).
        y: Images of zeros and ones, (batch, D), of any type.

    Examples:
        >>> bernoulli_log_likelihood(torch.zeros(1, 1, 2), torch.tensor([[0, 1]]))  # 2 log ½
        tensor([[-1.3863]])
    """
    return BernoulliLogLikelihood.apply(logits, y.to(logits.dtype))
