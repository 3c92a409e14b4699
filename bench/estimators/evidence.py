"""Estimates of log P(y) by averaging weights: L_K and naive Monte-Carlo, in bounded memory."""

from collections.abc import Callable
from functools import partial
from math import log, prod
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import InputError
from bench.noise import Noise

# Samples per datum whose noise is drawn at once: with blocks of 100 data, 1000 rows to decode.
# It is part of the definition of a number, like the block of data.
SAMPLES_PER_DRAW = 10


def check_evaluation_mode(model: Any) -> None:
    """Raise InputError if a model is in training mode, in which its terms leave out what is needed."""
    if getattr(model, "training", False):
        raise InputError(
            f"model: {type(model).__name__} is in training mode; call its eval() before it is measured"
        )


def check_block(model: Any, y: Tensor, samples: int) -> None:
    """Raise InputError unless y is a block of images (batch, D) of the model, and K is 1 or more."""
    if samples < 1:
        raise InputError(f"samples: {samples} is less than 1")
    shape = getattr(model, "shape", None)
    if isinstance(model, nn.Module) and shape is not None:
        if y.dtype != torch.uint8 or y.ndim != 2 or y.shape[1] != prod(shape):
            raise InputError(
                f"images: {y.dtype} of shape {tuple(y.shape)}; uint8 of (batch, {prod(shape)}) is "
                "needed"
            )


class LogMeanExp:
    """A running log 1/K Σ_k exp(w_k) over samples, with the variance of its Monte-Carlo error."""

    def __init__(self) -> None:
        self.count = 0
        self.largest = self.first = self.second = torch.empty(0)

    def add(self, log_weights: Tensor) -> None:
        """Add log-weights of shape (samples, batch)."""
        log_weights = log_weights.double()
        largest = log_weights.amax(0)
        if self.count == 0:
            self.largest = largest
            self.first = self.second = torch.zeros_like(largest)
        higher = torch.maximum(self.largest, largest)
        shrink = (self.largest - higher).exp()
        weights = (log_weights - higher).exp()
        self.first = self.first * shrink + weights.sum(0)
        self.second = self.second * shrink.square() + weights.square().sum(0)
        self.largest = higher
        self.count += len(log_weights)

    def value(self) -> Tensor:
        """Return log 1/K Σ exp(w_k), shape (batch,)."""
        return self.largest + self.first.log() - log(self.count)

    def variance(self) -> Tensor:
        """Return the delta method's variance of ``value``: (Σw²/(Σw)² − 1/K) · K/(K − 1).

        It is too small where a few weights dominate the sum; then the bound is loose too. NaN after a
        single sample.
        """
        if self.count < 2:
            return torch.full_like(self.largest, torch.nan)
        share = self.second / self.first.square()
        return (share - 1 / self.count).clamp(min=0) * self.count / (self.count - 1)


@torch.no_grad()
def importance_weighted_bound(
    model: Any, y: Tensor, samples: int, *noise_key: int | str
) -> tuple[Tensor, Tensor]:
    """Return L_K(y) = E log 1/K Σ_k p(y|z_k) p(z_k) / q(z_k|y) (Burda et al. 2016, eq. 8).

    Args:
        model: Anything with ``terms(y, noise, samples)``; a dequantizing model draws u_k anew
            with each z_k, so that L_K closes the dequantization gap too. If it has ``prepared(y)``,
            which returns that function of noise and samples, what depends on y alone is computed once.
        y: One block of images (batch, D).
        samples: K.
        noise_key: What the noise is a function of.

    Returns:
        One estimate in nats for each datum (batch,), and its Monte-Carlo variance (batch,).

    Raises:
        InputError: The model is in training mode.

    Examples:
        >>> from bench import Terms
        >>> class Flow:
        ...     def terms(self, y, noise, samples):
        ...         return Terms(reconstruction=noise.normal(samples, len(y), 1)[..., 0])
        >>> y = torch.zeros(5, 16)
        >>> value, variance = importance_weighted_bound(Flow(), y, 1000, "a key", 1)
        >>> value.shape, variance.shape
        (torch.Size([5]), torch.Size([5]))
        >>> bool(((value - 0.5).abs() < 0.3).all())  # log E exp(ε) of a normal ε
        True
    """
    check_evaluation_mode(model)
    check_block(model, y, samples)
    terms = model.prepared(y) if hasattr(model, "prepared") else partial(model.terms, y)
    log_weights = lambda noise: terms(noise, SAMPLES_PER_DRAW).elbo
    return log_mean_exp_of_draws(log_weights, samples, y.device, noise_key)


@torch.no_grad()
def naive_evidence(
    model: Any, y: Tensor, samples: int, *noise_key: int | str
) -> tuple[Tensor, Tensor]:
    """Return log 1/K Σ_k p(y|z_k) with z_k drawn from the prior, and its variance, as above.

    In expectation it is below log P(y), like L_K; far below where the prior rarely hits the posterior.

    Args:
        model: Anything with ``reconstruction_from_prior(y, noise, samples)``.
        y: One block of images (batch, D).
        samples: K.
        noise_key: What the noise is a function of.

    Raises:
        InputError: The model has no latent variable to draw from a prior, or is in training mode.
    """
    check_evaluation_mode(model)
    check_block(model, y, samples)
    if not hasattr(model, "reconstruction_from_prior"):
        raise InputError(
            f"model: {type(model).__name__} has no reconstruction_from_prior(y, noise, samples), "
            "which naive Monte-Carlo averages"
        )
    log_weights = lambda noise: model.reconstruction_from_prior(y, noise, SAMPLES_PER_DRAW)
    return log_mean_exp_of_draws(log_weights, samples, y.device, noise_key)


def log_mean_exp_of_draws(
    log_weights: Callable[[Noise], Tensor],
    samples: int,
    device: torch.device,
    noise_key: tuple[int | str, ...],
) -> tuple[Tensor, Tensor]:
    """Return log 1/K Σ exp(w_k) and its variance, drawing SAMPLES_PER_DRAW weights at once."""
    running = LogMeanExp()
    for draw, start in enumerate(range(0, samples, SAMPLES_PER_DRAW)):
        weights = log_weights(Noise(*noise_key, draw, device=device))
        # The last draw is cut after drawing, so that a smaller K uses a prefix of the same noise.
        running.add(weights[: samples - start])
    return running.value(), running.variance()
