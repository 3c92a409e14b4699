"""The contract's numbers for any model that answers ``terms(y, noise, samples)``."""

from collections.abc import Callable
from math import isfinite
from numbers import Integral
from typing import Protocol

import torch
from torch import Tensor, nn

from bench.data.tasks import TaskData
from bench.densities.full_covariance import NormalDistribution
from bench.errors import InputError
from bench.estimators.estimate import Estimate
from bench.estimators.evaluate import evaluate as measure
from bench.library.external import evaluation_mode
from bench.models.terms import Model, Terms
from bench.noise import Noise, derive_seed
from bench.settings import EvaluationConfig, Split
from bench.system.determinism import deterministically

# A model is checked on this many images before it is evaluated.
TRIED = 2


class Measurable(Protocol):
    """The protocol of a model that can be evaluated."""

    def terms(self, y: Tensor, noise: Noise, samples: int) -> Terms:
        """Return the terms for y, uint8 of shape (batch, D), on ``samples`` fresh samples."""


def evaluate(
    model: Measurable,
    data: TaskData,
    config: EvaluationConfig = EvaluationConfig(),
    seed: int = 1,
    device: torch.device | str = "cpu",
    progress: Callable[[float], None] = lambda share: None,
) -> dict[Split, dict[str, Estimate]]:
    """Return the numbers that a run of the benchmark records, for a model from anywhere.

    Args:
        model: Anything with ``terms(y, noise, samples)``, such as an ``ExternalVAE``. All its
            randomness has to come from ``noise``, and its terms of one datum must not depend on the
            others in the batch. These are used where the model has them: ``attach(train)``, called
            before, ``prepared(y)`` (for speed), ``bound`` ("upper" if not there, or "exact"),
            ``sample_mean(n, noise)``, ``decode_mean(z)`` and ``reconstruct(y)`` (for sharpness). A
            module is moved to ``device`` and measured in evaluation mode.
        data: The images: of ``load_task``, or of ``task_from_arrays``.
        config: How many samples are drawn.
        seed: Noise is a function of it, the split, the datum and the sample; with the seed of a
            run of the benchmark the numbers are those of its record.
        device: Where to compute.
        progress: Called with the share that is done.

    Returns:
        {"train": …, "test": …}, each {column: estimate}. Columns and units are those of the
        leaderboard. A column that the model has no part for is left out.

    Raises:
        InputError: Arguments of wrong types, a device that does not exist, terms of wrong shapes or
            that contradict each other, randomness that does not come from ``noise``, or a number
            that is not finite.
        RuntimeError: On a GPU, an operation of the model has no deterministic implementation.

    Examples:
        >>> import torch
        >>> from math import log
        >>> from bench import EvaluationConfig, Task, Terms, load_task
        >>> class CoinFlips:
        ...     def terms(self, y, noise, samples):
        ...         return Terms(torch.full((samples, len(y)), -y.shape[1] * log(2)))
        >>> numbers = evaluate(CoinFlips(), load_task(Task("digits", "threshold")))
        >>> round(numbers["test"]["bits_per_dim"].value, 6)
        1.0
    """
    check_arguments(data, config, seed, device)
    if not callable(getattr(model, "terms", None)):
        raise InputError(
            f"model: {type(model).__name__} has no terms(y, noise, samples); ExternalVAE makes one "
            "of an encoder, a decoder and a prior"
        )
    if isinstance(model, Model):
        own, images = (tuple(model.shape), model.levels), (tuple(data.shape), data.task.levels)
        if own != images:
            raise InputError(
                f"model: made for images of {own[0]} with {own[1]} levels, and {data.task.name} has "
                f"{images[0]} with {images[1]}"
            )
    with deterministically(), evaluation_mode(model), torch.no_grad():
        if isinstance(model, nn.Module):
            model.to(device)
        if hasattr(model, "attach"):
            model.attach(data.train.to(device))
        check_terms(model, data.test[:TRIED].to(device))
        numbers = measure(model, data, config, derive_seed(seed, "evaluation"), device, progress)
    for split, columns in numbers.items():
        for name, estimate in columns.items():
            if not isfinite(estimate.value):
                raise InputError(f"model: {name} on the {split} split is {estimate.value}")
    return numbers


def check_arguments(data: object, config: object, seed: object, device: torch.device | str) -> None:
    """Raise InputError unless the arguments of ``evaluate`` have the right types."""
    if not isinstance(data, TaskData):
        raise InputError(
            f"data: {type(data).__name__} is no task's data; task_from_arrays makes that of images, "
            "and load_task of a name"
        )
    if not isinstance(config, EvaluationConfig):
        raise InputError(f"config: {type(config).__name__} is no EvaluationConfig")
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise InputError(f"seed: {seed!r} is no whole number")
    check_device(device)


def check_device(device: torch.device | str) -> None:
    """Raise InputError unless numbers can be computed on a device."""
    try:
        torch.zeros(1, device=torch.device(device)).item()
    except (AssertionError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"device: nothing can be computed on {device!r}: {reason}") from None


def check_terms(model: Measurable, y: Tensor) -> None:
    """Raise InputError unless the model's terms on two samples of ``y`` are consistent."""
    samples = 2
    terms, again = (model.terms(y, Noise("tried", device=y.device), samples) for _ in range(2))
    if not isinstance(terms, Terms):
        raise InputError(f"model: terms() returned {type(terms).__name__}, not bench.Terms")
    for name in ("reconstruction", "log_prior", "log_posterior"):
        check_shape(name, getattr(terms, name), (samples, len(y)))
    if terms.log_posterior is not None and terms.log_prior is None:
        raise InputError("model: terms() gave log_posterior without log_prior")
    if terms.posterior is not None:
        check_posterior(terms, samples, len(y))
    if not torch.allclose(terms.elbo, again.elbo, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise InputError(
            "model: terms() gave two results for one noise; draw with noise.normal and "
            "noise.uniform, and put layers that draw into evaluation mode"
        )


def check_posterior(terms: Terms, samples: int, batch: int) -> None:
    posterior, latent, log_posterior = terms.posterior, terms.latent, terms.log_posterior
    if terms.log_prior is None or latent is None or log_posterior is None:
        raise InputError(
            "model: terms() gave a posterior without log_prior, log_posterior and latent"
        )
    if not isinstance(posterior, NormalDistribution):
        raise InputError(
            f"model: the posterior is a {type(posterior).__name__}, not bench.DiagonalNormal; for "
            "another kind of encoder leave it out, and the KL is not split"
        )
    dimensions = posterior.loc.shape[-1]
    check_shape("posterior.loc", posterior.loc, (batch, dimensions))
    check_shape("posterior.log_scale", posterior.log_scale, (batch, dimensions))
    check_shape("latent", latent, (samples, batch, dimensions))
    check_shape("kl_analytic", terms.kl_analytic, (batch,))
    own = posterior.log_prob(latent)
    if not torch.allclose(own, log_posterior, rtol=1e-3, atol=1e-2, equal_nan=True):
        raise InputError(
            f"model: log_posterior is {log_posterior[0, 0]:.4g} for a sample at which the "
            f"posterior's log-density is {own[0, 0]:.4g}; both are in nats, summed over dimensions"
        )


def check_shape(name: str, values: Tensor | None, shape: tuple[int, ...]) -> None:
    if values is not None and tuple(values.shape) != shape:
        raise InputError(f"model: {name} of shape {tuple(values.shape)} where {shape} is needed")
