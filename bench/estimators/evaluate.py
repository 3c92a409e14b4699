"""All numbers of a trained model on the training and the test split.

A model is anything that answers ``terms``. Its other methods are optional.
"""

from collections import Counter
from collections.abc import Callable
from math import log
from typing import Any

import torch
from torch import Tensor

from bench.data.tasks import TaskData
from bench.densities.full_covariance import NormalDistribution, aggregate_of
from bench.estimators.diagnostics import bound_estimates, error_is_known, joined, mean_with_error
from bench.estimators.estimate import Estimate, MeanEstimate, exact, mean_estimate
from bench.estimators.evidence import check_evaluation_mode, diagnosed_bound
from bench.estimators.samples import sharpness
from bench.estimators.surgery import ELBOSurgery
from bench.estimators.weights import WeightedBound
from bench.models.terms import Terms
from bench.noise import EVALUATION_BLOCK, Noise
from bench.settings import Bound, EvaluationConfig, Split

SPLITS: tuple[Split, ...] = ("train", "test")
SHARPNESS_SAMPLES = 1000


@torch.no_grad()
def evaluate(
    model: Any,
    data: TaskData,
    config: EvaluationConfig,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Callable[[float], None] = lambda share: None,
) -> dict[Split, dict[str, Estimate]]:
    """Return {split: {column: estimate}} for a model in evaluation mode on ``device``.

    Noise is a function of (seed, split, block of data, draw) alone.
    """
    check_evaluation_mode(model)
    results: dict[Split, dict[str, Estimate]] = {}
    training: NormalDistribution | None = None
    for number, split in enumerate(SPLITS):
        images = data.split(split).to(device)
        columns, elbo, encodings = evaluate_terms(model, images, config, (seed, split), training)
        training = training or encodings
        step = lambda share, number=number: progress((number + share) / len(SPLITS))
        columns |= evaluate_evidence(model, images, config, (seed, split), elbo, step)
        bits = -1 / (data.dimensions * log(2))
        columns["bits_per_dim"] = columns["log_likelihood"].scaled(bits)
        columns["log_n"] = exact(log(len(images)), len(images))
        # A model that only answers terms() draws no images.
        if split == "test" and hasattr(model, "sample_mean"):
            columns |= evaluate_sharpness(model, images, data, seed, training)
        results[split] = columns
    return results


def evaluate_sharpness(
    model: Any, images: Tensor, data: TaskData, seed: int, training: NormalDistribution | None
) -> dict[str, Estimate]:
    """Return the sharpness of samples relative to test images; for a VAE also two references.

    The references are images decoded from q_agg over the training split, which are free of any
    mismatch between q_agg and the prior, and reconstructions, the best that the decoder can do.
    A sharpness that is undefined has no column.
    """
    noise = lambda name: Noise(seed, "sharpness", name, device=images.device)
    shown = {"sharpness": model.sample_mean(SHARPNESS_SAMPLES, noise("prior"))}
    if training is not None and hasattr(model, "decode_mean"):
        aggregate = aggregate_of(training)
        z = aggregate.sample(SHARPNESS_SAMPLES, noise("aggregate"))
        shown["sharpness_aggregate"] = model.decode_mean(z)
        shown["sharpness_reconstruction"] = model.reconstruct(images[:SHARPNESS_SAMPLES])
    found = {
        name: sharpness(drawn, images, data.shape, data.task.levels)
        for name, drawn in shown.items()
    }
    return {name: estimate for name, estimate in found.items() if estimate is not None}


def evaluate_terms(
    model: Any,
    images: Tensor,
    config: EvaluationConfig,
    key: tuple[int, str],
    training: NormalDistribution | None,
) -> tuple[dict[str, Estimate], Tensor, NormalDistribution | None]:
    """Return a split's columns of the ELBO and its surgery, each sample's ELBO, and the encodings.

    The samples' ELBO has shape (samples, n), in nats. ``training`` holds the training split's
    encodings; None if this is the training split.
    """
    surgery, analytic = ELBOSurgery(training), MeanEstimate()
    reconstruction, kl, elbos = [], [], []
    for number, y in enumerate(images.split(EVALUATION_BLOCK)):
        terms = terms_of_block(model, y, config.elbo_samples, *key, number)
        elbos.append(terms.elbo.double())
        if terms.posterior is not None:
            surgery.update(terms)
            if terms.kl_analytic is not None:
                analytic.update(terms.kl_analytic, torch.zeros_like(terms.kl_analytic), 0)
        else:
            reconstruction.append(terms.reconstruction)
            if terms.log_posterior is not None and terms.log_prior is not None:
                kl.append(terms.log_posterior - terms.log_prior)
    elbo = torch.cat(elbos, dim=1)
    if kl:
        return terms_without_surgery(reconstruction, kl, elbo), elbo, None
    if reconstruction:
        parts = torch.cat(reconstruction, dim=1)
        is_flow = terms.log_prior is not None
        is_exact = bound_of(model) == "exact"
        return terms_without_posterior(parts, elbo, images, is_exact, is_flow), elbo, None
    encodings = surgery.encodings()
    columns = surgery.estimates()
    if analytic.n > 0:
        columns["kl_analytic"] = analytic.estimate()
    return columns, elbo, encodings


def bound_of(model: object) -> Bound:
    """Return what a model's −log-likelihood is; an upper bound if the model does not say."""
    bound: Bound = getattr(model, "bound", "upper")
    return bound


def terms_of_block(model: Any, y: Tensor, samples: int, *key: int | str) -> Terms:
    """Return the terms of one block; the noise of a sample does not depend on their number."""
    draws = [
        model.terms(y, Noise(*key, "terms", sample, device=y.device), 1)
        for sample in range(samples)
    ]
    return Terms.join(draws)


def terms_without_surgery(
    reconstruction: list[Tensor], kl: list[Tensor], elbo: Tensor
) -> dict[str, Estimate]:
    """Return the columns of a VAE whose q(z|y) is not normal: q_agg is not known, the KL not split."""
    return {
        "elbo": mean_estimate(elbo),
        "reconstruction": mean_estimate(torch.cat(reconstruction, dim=1).double()),
        "kl": mean_estimate(torch.cat(kl, dim=1).double()),
    }


def terms_without_posterior(
    reconstruction: Tensor, elbo: Tensor, images: Tensor, is_exact: bool, is_flow: bool
) -> dict[str, Estimate]:
    """Return the columns of a flow, or of a model whose latent variable is summed out.

    A flow's posteriors are disjoint for distinct data, so its mutual information is log n, less
    where the split holds copies: mean of log(n / number of copies). Its KL and its marginal KL
    are infinite, and therefore empty.
    """
    n = len(images)
    if is_exact:
        return {"elbo": exact(elbo.mean().item(), n)}
    if not is_flow:
        return {"elbo": mean_estimate(elbo)}
    columns = {"elbo": mean_estimate(elbo), "reconstruction": mean_estimate(reconstruction)}
    copies = Counter(row.tobytes() for row in images.cpu().numpy())
    lost = sum(count * log(count) for count in copies.values()) / n
    columns["mutual_information"] = exact(log(n) - lost, n)
    return columns


def evaluate_evidence(
    model: Any,
    images: Tensor,
    config: EvaluationConfig,
    key: tuple[int, str],
    elbo: Tensor,
    progress: Callable[[float], None],
) -> dict[str, Estimate]:
    """Return the headline log-likelihood, L_K with its diagnostics or exact, and the gap L_K − ELBO.

    ``config`` says on how many of the first images L_K is taken, and with how many samples. ``elbo`` holds
    each sample's ELBO of all images, (samples, len(images)).
    """
    if bound_of(model) == "exact":
        likelihood, of_images = exact(elbo.mean().item(), len(images)), mean_estimate(elbo)
        return {"log_likelihood": likelihood._replace(stderr_data=of_images.stderr_data)}
    few = key[1] == "train" and config.importance_data_train
    n, samples = min(few or config.importance_data, len(images)), config.importance_samples
    starts = range(0, n, EVALUATION_BLOCK)
    bounds = []
    for number, start in enumerate(starts):
        # Whole blocks are drawn, also if only a part of the last is used, because noise belongs to a datum.
        y = images[start : start + EVALUATION_BLOCK]
        bounds.append(diagnosed_bound(model, y, samples, *key, "importance", number))
        progress((number + 1) / len(starts))
    bound = WeightedBound(*(field[:n] for field in joined(bounds)))
    own = elbo[:, :n]
    spread = own.var(0) / len(own) if len(own) > 1 else torch.full_like(bound.value, torch.nan)
    gap, variance = bound.value - own.mean(0), bound.variance + spread
    columns = bound_estimates(bound, samples)
    known = error_is_known(bound, samples)
    columns["inference_gap"] = mean_with_error(gap, variance, samples, known)
    return columns
