"""Estimates of log P(y) by averaging weights: L_K and naive Monte-Carlo, a block of data at a time."""

from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import InputError
from bench.estimators.draws import drawn_weights
from bench.estimators.weights import WeightedBound, weighted_bound
from bench.models.terms import Model


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


@torch.no_grad()
def importance_weighted_bound(
    model: Any, y: Tensor, samples: int, *noise_key: int | str
) -> tuple[Tensor, Tensor]:
    """Return L_K(y) = E log 1/K Σ_k p(y|z_k) p(z_k) / q(z_k|y) (Burda et al. 2016, eq. 8).

    ``diagnosed_bound`` returns its diagnostics too.

    Args:
        model: Anything with ``terms(y, noise, samples)``; a dequantizing model draws u_k anew
            with each z_k, so that L_K closes the dequantization gap too. If it has ``prepared(y)``,
            which returns that function of noise and samples, what depends on y alone is computed once.
        y: One block of images (batch, D).
        samples: K.
        noise_key: What the noise is a function of.

    Returns:
        One estimate in nats for each datum (batch,), and its Monte-Carlo variance (batch,), which is
        the jackknife's: see ``WeightedBound``.

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
    bound = diagnosed_bound(model, y, samples, *noise_key)
    return bound.value, bound.variance


@torch.no_grad()
def diagnosed_bound(model: Any, y: Tensor, samples: int, *noise_key: int | str) -> WeightedBound:
    """Return L_K of one block of images with its diagnostics, all of shape (batch,).

    Arguments and errors are those of ``importance_weighted_bound``. The K weights of the block are
    held in memory, K · batch numbers.

    Examples:
        >>> from bench import Terms
        >>> class Flow:
        ...     def terms(self, y, noise, samples):
        ...         return Terms(reconstruction=10 * noise.normal(samples, len(y), 1)[..., 0])
        >>> bound = diagnosed_bound(Flow(), torch.zeros(100, 16), 1000, "a key", 1)
        >>> bool((bound.effective_sample_size < 10).double().mean() > 0.9)  # one weight is the sum
        True
        >>> bool((bound.pareto_k > 0.7).double().mean() > 0.9 and bound.rise.mean() > 1)
        True
    """
    check_evaluation_mode(model)
    check_block(model, y, samples)
    terms = model.prepared(y) if hasattr(model, "prepared") else partial(model.terms, y)
    log_weights = lambda noise, count: terms(noise, count).elbo
    # A model of somebody else may draw noise in other shapes.
    may_join = isinstance(model, Model)
    on_cpu = model.draws_at_once if may_join else 1
    weights = drawn_weights(log_weights, samples, y.device, noise_key, may_join, on_cpu)
    return weighted_bound(weights)


@torch.no_grad()
def naive_evidence(
    model: Any, y: Tensor, samples: int, *noise_key: int | str
) -> tuple[Tensor, Tensor]:
    """Return log 1/K Σ_k p(y|z_k) with z_k drawn from the prior, and its variance, as above.

    ``diagnosed_naive_evidence`` returns its diagnostics too.

    In expectation it is below log P(y), like L_K; far below where the prior rarely hits the posterior.

    Args:
        model: Anything with ``reconstruction_from_prior(y, noise, samples)``.
        y: One block of images (batch, D).
        samples: K.
        noise_key: What the noise is a function of.

    Raises:
        InputError: The model has no latent variable to draw from a prior, or is in training mode.
    """
    estimate = diagnosed_naive_evidence(model, y, samples, *noise_key)
    return estimate.value, estimate.variance


@torch.no_grad()
def diagnosed_naive_evidence(
    model: Any, y: Tensor, samples: int, *noise_key: int | str
) -> WeightedBound:
    """Return naive Monte-Carlo's estimate of one block of images with its diagnostics, (batch,) each.

    Arguments and errors are those of ``naive_evidence``.
    """
    check_evaluation_mode(model)
    check_block(model, y, samples)
    if not hasattr(model, "reconstruction_from_prior"):
        raise InputError(
            f"model: {type(model).__name__} has no reconstruction_from_prior(y, noise, samples), "
            "which naive Monte-Carlo averages"
        )
    log_weights = lambda noise, count: model.reconstruction_from_prior(y, noise, count)
    return weighted_bound(drawn_weights(log_weights, samples, y.device, noise_key))
