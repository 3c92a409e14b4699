"""Normalizing flows: invertible maps with a tractable log-determinant."""

from functools import reduce
from math import log
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import InputError
from bench.networks.mlp import MLP, widened

Mask = Literal["checkerboard", "half"]
Shift = Literal["after_scaling", "before_scaling"]


def split_dimensions(shape: tuple[int, ...], mask: Mask) -> tuple[Tensor, Tensor]:
    """Return the indices of the two parts that couplings map alternately.

    checkerboard: by the parity of row + column (+ channel); half: the first and second half of
    the flattened vector (Dinh et al. 2017, figure 3).
    """
    # On the CPU even if the model is built on the meta device, without numbers.
    sides = [torch.arange(size, device="cpu") for size in shape]
    axes = torch.meshgrid(*sides, indexing="ij")
    position = torch.arange(axes[0].numel(), device="cpu")
    parity = (
        torch.stack(axes).sum(0).flatten() % 2
        if mask == "checkerboard"
        else position * 2 // len(position)
    )
    first, second = position[parity == 0], position[parity == 1]
    if not len(first) or not len(second):
        raise InputError(f"flow: {len(position)} dimension(s) cannot be split by a {mask} mask")
    return first, second


def check_couplings(option: str, couplings: int, left: str) -> None:
    """Raise InputError if fewer than two couplings are asked for; ``left`` says what would be left so."""
    if couplings < 2:
        raise InputError(f"{option}: {couplings} would leave a part of {left}; take 2 or more")


def start_at_zero(network: MLP) -> None:
    """Set the last layer of a coupling's network to 0, so that a new coupling is the identity."""
    last = network.layers[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


class TwoParts(nn.Module):
    """The two parts of a vector that couplings map alternately.

    Args:
        shape: Shape of one datum, flattened in the data.
        mask: How the dimensions are split.
    """

    first: Tensor
    second: Tensor
    order: Tensor

    def __init__(self, shape: tuple[int, ...], mask: Mask):
        super().__init__()
        first, second = split_dimensions(shape, mask)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        self.register_buffer("order", torch.cat([first, second]).argsort(), persistent=False)
        self.sizes = [len(first), len(second)]

    def split(self, x: Tensor) -> list[Tensor]:
        """Return the parts (..., sizes) of x (..., D)."""
        return [x.index_select(-1, self.first), x.index_select(-1, self.second)]

    def joined(self, parts: list[Tensor]) -> Tensor:
        """Return x (..., D) of its parts."""
        return torch.cat(parts, dim=-1).index_select(-1, self.order)


class AffineCoupling(nn.Module):
    """b ← b · exp(s(a)) + t(a), or b ← (b + t(a)) · exp(s(a)); a is unchanged.

    The first form is Dinh et al. 2017, eq. 4. The second is that of masked autoregressive flows
    (Papamakarios et al. 2017, eq. 5) and of Glow's code. Both describe the same maps, but in the
    second −t is the conditional mean of b. The first form needs −t · exp(s) instead, which is large
    and must be exact where exp(s) is large, for example at background pixels that hardly vary.

    s is a tanh times a learned scale, which keeps the map well conditioned. The network's last
    layer is initialized to 0, so a new flow is the identity.
    """

    def __init__(self, given: int, changed: int, widths: list[int], shift: Shift = "after_scaling"):
        super().__init__()
        self.shifts_first = shift == "before_scaling"
        self.network = MLP((given,), (2 * changed,), widths)
        start_at_zero(self.network)
        self.range = nn.Parameter(torch.ones(changed))

    def scale_and_shift(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Return s(a) and t(a), shape (..., changed) each."""
        raw, shift = widened(self.network(a)).chunk(2, dim=-1)
        return self.range * raw.tanh(), shift

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new b (..., changed) and the log-determinant (...) in nats."""
        log_scale, shift = self.scale_and_shift(a)
        scale = log_scale.exp()
        changed = (b + shift) * scale if self.shifts_first else b * scale + shift
        return changed, log_scale.sum(-1)

    def inverse(self, a: Tensor, b: Tensor) -> Tensor:
        log_scale, shift = self.scale_and_shift(a)
        scale = (-log_scale).exp()
        return b * scale - shift if self.shifts_first else (b - shift) * scale


class CouplingFlow(nn.Module):
    """Affine couplings that map the two parts of a vector alternately.

    The vector is split once, before the first coupling, so the couplings neither gather nor copy
    its elements.

    Args:
        shape: Shape of one datum, flattened in the data.
        couplings: Number of couplings.
        widths: Hidden units of each layer of each coupling's network.
        mask: How the dimensions are split.
        shift: Whether a coupling adds its shift after or before it scales.
        context: Numbers of a context that the couplings' networks also get, c; 0 for none.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        couplings: int,
        widths: list[int],
        mask: Mask,
        shift: Shift = "after_scaling",
        context: int = 0,
    ):
        super().__init__()
        self.parts = TwoParts(shape, mask)
        sizes = self.parts.sizes
        self.couplings = nn.ModuleList(
            AffineCoupling(sizes[i % 2] + context, sizes[1 - i % 2], widths, shift)
            for i in range(couplings)
        )

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map x (..., D) to z (..., D) and log |det ∂z/∂x| (...) in nats.

        A context has shape (..., c).
        """
        parts = self.parts.split(x)
        terms = []
        for i, coupling in enumerate(self.couplings):
            given, changed = i % 2, 1 - i % 2
            seen = with_context(parts[given], context)
            parts[changed], term = coupling(seen, parts[changed])
            terms.append(term)
        return self.parts.joined(parts), reduce(torch.add, terms)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map z (..., D) back to x (..., D), with the same context."""
        parts = self.parts.split(z)
        for i, coupling in reversed(list(enumerate(self.couplings))):
            assert isinstance(coupling, AffineCoupling)
            given, changed = i % 2, 1 - i % 2
            seen = with_context(parts[given], context)
            parts[changed] = coupling.inverse(seen, parts[changed])
        return self.parts.joined(parts)


def with_context(given: Tensor, context: Tensor | None) -> Tensor:
    """Return the part (..., a) that a coupling does not change, with a context (..., c) if there is one."""
    return given if context is None else torch.cat([given, context], dim=-1)


class LogitPreprocessing(nn.Module):
    """x ↦ logit(α + (1 − 2α) x) on [0, 1] (Dinh et al. 2017, section 4.1), with its derivative."""

    def __init__(self, alpha: float):
        super().__init__()
        if not 0 < alpha < 0.5:
            raise InputError(f"model.alpha: {alpha} is not inside (0, 0.5)")
        self.alpha = alpha

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (..., D) to logits (..., D) and the log-determinant (...) in nats."""
        s = self.alpha + (1 - 2 * self.alpha) * x
        logits = s.log() - torch.log1p(-s)
        # log d logit(s)/ds = −log s − log(1 − s) = softplus(l) + softplus(−l)
        derivative = F.softplus(logits) + F.softplus(-logits) + log(1 - 2 * self.alpha)
        return logits, derivative.sum(-1)

    def inverse(self, logits: Tensor) -> Tensor:
        return (logits.sigmoid() - self.alpha) / (1 - 2 * self.alpha)


class Standardization(nn.Module):
    """x ↦ (x − mean) / scale, with the fixed mean and scale of the training split.

    This is Glow's data-dependent initialisation (Kingma & Dhariwal 2018, section 3.1), but by the
    whole split, so that it does not depend on a batch.
    """

    mean: Tensor
    log_scale: Tensor

    def __init__(self, dimensions: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("log_scale", torch.zeros(dimensions))

    def set(self, mean: Tensor, scale: Tensor) -> None:
        """Set mean and standard deviation, shape (D,) each."""
        self.mean.copy_(mean)
        self.log_scale.copy_(scale.log())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (..., D) to the same shape, and return the log-determinant, a scalar in nats."""
        return (x - self.mean) * (-self.log_scale).exp(), -self.log_scale.sum()

    def inverse(self, z: Tensor) -> Tensor:
        return z * self.log_scale.exp() + self.mean
