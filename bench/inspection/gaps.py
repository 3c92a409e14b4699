"""The inference gap of a trained VAE, taken apart: Cremer et al. 2018.

    log p(y) − ELBO = [log p(y) − ELBO(q*)] + [ELBO(q*) − ELBO(q)] + dequantization gap

q is the encoder's distribution, and q* the best of its family for each datum. The first bracket is the
approximation gap, which the family leaves, and the second the amortization gap, which the encoder leaves.
Docs: docs/gaps.md; definitions: docs/contract.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bench.densities.full_covariance import FullCovarianceNormal
from bench.densities.normal import DiagonalNormal
from bench.densities.posteriors import Encoded
from bench.errors import InputError
from bench.estimators.diagnostics import bound_estimates, error_is_known, mean_with_error
from bench.estimators.draws import drawn_weights
from bench.estimators.estimate import Estimate, mean_estimate
from bench.estimators.evidence import check_block, check_evaluation_mode
from bench.estimators.weights import WeightedBound, weighted_bound
from bench.inspection.gap_samples import GapSamples, joined_samples
from bench.inspection.joint_density import JointDensity, joint_density
from bench.inspection.local_posteriors import (
    Family,
    LocalOptimization,
    diagonal_family,
    elbo_on,
    encoder_family,
    full_covariance_family,
    optimized,
)
from bench.models.vae import VAE
from bench.noise import EVALUATION_BLOCK, Noise


@dataclass(frozen=True)
class GapSettings:
    """How gaps are estimated.

    Attributes:
        importance_samples: K of L_K.
        elbo_samples: Samples of each datum for each ELBO.
        optimization: How q* is found.
    """

    importance_samples: int = 1000
    elbo_samples: int = 100
    optimization: LocalOptimization = field(default_factory=LocalOptimization)


@dataclass(frozen=True)
class InferenceGaps:
    """The gaps of a model on the images of a split; means over the images, in nats.

    ``stderr`` of each is the Monte-Carlo error for these images (of the optimum that was found), and
    ``stderr_data`` the standard error over images; gaps are differences datum by datum.

    Attributes:
        prior: Name of the prior's class.
        posterior: Name of the posterior's class.
        log_likelihood: The estimate of log p(y) that the gaps are measured from.
        log_likelihood_encoder: L_K with draws from the encoder's q, the headline number of a run.
        elbo: The ELBO of the encoder's q, with dequantization if the model has it.
        elbo_best: The ELBO of q*; without the dequantization gap.
        inference_gap: log p(y) − ELBO, the sum of the next three.
        approximation_gap: log p(y) − ELBO(q*).
        amortization_gap: ELBO(q*) − ELBO(q).
        dequantization_gap: E_q[log p(y|z) − E_u log p(y + u|z)]; None if the likelihood is one of integers.
        closed_by_full_covariance: What the best normal with a full covariance gains over q*, a part of
            the approximation gap; None unless q is a diagonal normal.
        diagnostics: Effective sample sizes, k̂ and rise of the L_K behind ``log_likelihood``.
        converged: Share of images whose optimizations ended by their criterion.
        samples: What was measured of each datum.
    """

    prior: str
    posterior: str
    log_likelihood: Estimate
    log_likelihood_encoder: Estimate
    elbo: Estimate
    elbo_best: Estimate
    inference_gap: Estimate
    approximation_gap: Estimate
    amortization_gap: Estimate
    dequantization_gap: Estimate | None
    closed_by_full_covariance: Estimate | None
    diagnostics: dict[str, Estimate]
    converged: float
    samples: GapSamples


def inference_gaps(
    model: Any,
    images: Tensor,
    settings: GapSettings,
    noise_key: tuple[int | str, ...],
    log_likelihood: Tensor | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> InferenceGaps:
    """Take the inference gap of a VAE on images apart.

    Args:
        model: A VAE in evaluation mode that has seen its training split (``attach``).
        images: uint8 (n, D), where the model is.
        settings: Numbers of samples and steps.
        noise_key: What the noise is a function of.
        log_likelihood: A better estimate of log p(y) of each image (n,), in nats, such as that of
            annealed importance sampling. Without it, it is L_K of the best distribution that was found.
        progress: Called with the share that is done.

    Raises:
        InputError: Not a VAE, or one in training mode; no images; estimates of other images.
    """
    if not isinstance(model, VAE):
        raise InputError(
            f"model: {type(model).__name__} has no encoder q(z|y) of ours; gaps are those of a VAE"
        )
    check_evaluation_mode(model)
    check_block(model, images, settings.importance_samples)
    if not len(images):
        raise InputError("images: there are none")
    if log_likelihood is not None and log_likelihood.shape != (len(images),):
        raise InputError(
            f"log_likelihood: shape {tuple(log_likelihood.shape)} for {len(images)} images"
        )
    parts = []
    for number, y in enumerate(images.split(EVALUATION_BLOCK)):
        joint = joint_density(model, y, *noise_key, number)
        parts.append(block_samples(joint, own_family(model, y), settings, *noise_key, number))
        progress(min(1.0, (number + 1) * EVALUATION_BLOCK / len(images)))
    names = model.prior_name, type(model.posterior).__name__
    return gaps_of(joined_samples(parts), settings, names, log_likelihood)


@torch.no_grad()
def own_family(model: VAE, y: Tensor) -> Family:
    """Return the family of a model's q(z|y), starting at the encoder's."""
    q = model.posterior(y)
    if isinstance(q, DiagonalNormal):
        return diagonal_family(q)
    if isinstance(q, FullCovarianceNormal):
        return full_covariance_family(q)
    return encoder_family(model.posterior, y)


def block_samples(
    joint: JointDensity, family: Family, settings: GapSettings, *noise_key: int | str
) -> GapSamples:
    """Measure one block of data.

    Args:
        joint: log p(y, z) of its data.
        family: The family of q, which starts at the encoder's.
        settings: Numbers of samples and steps.
        noise_key: What the noise is a function of.
    """
    device, samples = family.start.device, settings.elbo_samples
    search = lambda of, name: optimized(
        joint.differentiable, of, settings.optimization, *noise_key, name
    )
    # One noise for all distributions, so that their differences have less noise.
    noise = lambda: Noise(*noise_key, "elbo", device=device)
    encoder = family.distribution(family.start)
    found = search(family, "own")
    converged, best, full = found.converged, found.posterior, None
    if isinstance(best, DiagonalNormal):
        richer = search(full_covariance_family(best), "full covariance")
        converged, full = converged & richer.converged, richer.posterior
    with torch.no_grad():
        z = encoder.sample(noise(), samples)
        exact, log_q = joint.exact(z), encoder.log_prob(z)
        dequantization = exact - joint.dequantized(z) if joint.dequantized else None
        bounds = [
            weighted_bound_of(joint, q, settings.importance_samples, *noise_key, name)
            for q, name in ((full or best, "L_K"), (encoder, "L_K of the encoder"))
        ]
        return GapSamples(
            elbo=(exact - log_q).double(),
            elbo_best=elbo_on(joint.exact, best, noise(), samples).double(),
            elbo_full=elbo_on(joint.exact, full, noise(), samples).double() if full else None,
            dequantization=dequantization.double() if dequantization is not None else None,
            bound=bounds[0],
            bound_encoder=bounds[1],
            converged=converged,
        )


def weighted_bound_of(
    joint: JointDensity, q: Encoded, samples: int, *noise_key: int | str
) -> WeightedBound:
    """Return L_K of a block with draws from ``q``."""
    weights = lambda noise, count: elbo_on(joint.exact, q, noise, count)
    return weighted_bound(drawn_weights(weights, samples, q.loc.device, noise_key))


def gaps_of(
    measured: GapSamples,
    settings: GapSettings,
    names: tuple[str, str],
    log_likelihood: Tensor | None = None,
) -> InferenceGaps:
    """Return the gaps, given what was measured of each datum.

    ``names`` are those of prior and posterior; ``log_likelihood`` is a better estimate than L_K.
    """
    bound, samples = measured.bound, settings.importance_samples
    columns = bound_estimates(bound, samples)
    evidence, variance, known = bound.value, bound.variance, error_is_known(bound, samples)
    estimate = columns.pop("log_likelihood")
    if log_likelihood is not None:
        evidence, variance, known = log_likelihood.double(), torch.zeros_like(variance), True
        estimate = mean_estimate(evidence[None])

    def to_evidence(values: Tensor) -> Estimate:
        spread = variance + values.var(0) / len(values)
        return mean_with_error(evidence - values.mean(0), spread, samples, known)

    dequantized = measured.elbo
    if measured.dequantization is not None:
        dequantized = measured.elbo - measured.dequantization
    full = measured.elbo_full
    return InferenceGaps(
        prior=names[0],
        posterior=names[1],
        log_likelihood=estimate,
        log_likelihood_encoder=bound_estimates(measured.bound_encoder, samples)["log_likelihood"],
        elbo=mean_estimate(dequantized),
        elbo_best=mean_estimate(measured.elbo_best),
        inference_gap=to_evidence(dequantized),
        approximation_gap=to_evidence(measured.elbo_best),
        amortization_gap=mean_estimate(measured.elbo_best - measured.elbo),
        dequantization_gap=None
        if measured.dequantization is None
        else mean_estimate(measured.dequantization),
        closed_by_full_covariance=None
        if full is None
        else mean_estimate(full - measured.elbo_best),
        diagnostics=columns,
        converged=measured.converged.double().mean().item(),
        samples=measured,
    )
