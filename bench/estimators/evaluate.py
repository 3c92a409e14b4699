"""All numbers of a trained model on the training and the test split."""

from collections import Counter
from collections.abc import Callable
from math import log

import torch
from torch import Tensor

from bench.config import EvaluationConfig
from bench.data.tasks import TaskData
from bench.densities.normal import DiagonalNormal
from bench.estimators.estimate import Estimate, MeanEstimate, exact, mean_estimate
from bench.estimators.evidence import importance_weighted_bound
from bench.estimators.samples import sharpness
from bench.estimators.surgery import ELBOSurgery
from bench.models.terms import Terms
from bench.noise import EVALUATION_BLOCK, Noise

SPLITS = ("train", "test")
SHARPNESS_SAMPLES = 1000


@torch.no_grad()
def evaluate(
    model,
    data: TaskData,
    config: EvaluationConfig,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, dict[str, Estimate]]:
    """Return {split: {column: estimate}} for a model in evaluation mode on ``device``.

    Noise is a function of (seed, split, block of data, draw) alone.
    """
    results = {}
    training: DiagonalNormal | None = None
    for number, split in enumerate(SPLITS):
        images = data.split(split).to(device)
        columns, encodings = evaluate_terms(model, images, config, (seed, split), training)
        training = training or encodings
        step = lambda share, number=number: progress((number + share) / len(SPLITS))
        columns |= evaluate_evidence(model, images, config, (seed, split), columns, step)
        bits = -1 / (data.dimensions * log(2))
        columns["bits_per_dim"] = columns["log_likelihood"].scaled(bits)
        columns["log_n"] = exact(log(len(images)), len(images))
        if split == "test":
            drawn = model.sample_mean(SHARPNESS_SAMPLES, Noise(seed, "sharpness", device=device))
            columns["sharpness"] = sharpness(drawn, images, data.shape, data.task.levels)
        results[split] = columns
    return results


def evaluate_terms(
    model,
    images: Tensor,
    config: EvaluationConfig,
    key: tuple[int, str],
    training: DiagonalNormal | None,
) -> tuple[dict[str, Estimate], DiagonalNormal | None]:
    """Return the ELBO, its terms and its surgery over a split, and the split's encodings.

    ``training`` are the training split's encodings, or None if this split is it.
    """
    surgery, analytic = ELBOSurgery(training), MeanEstimate()
    reconstruction, prior = [], []
    for number, y in enumerate(images.split(EVALUATION_BLOCK)):
        terms = terms_of_block(model, y, config.elbo_samples, *key, number)
        if terms.posterior is not None:
            surgery.update(terms)
            if terms.kl_analytic is not None:
                analytic.update(terms.kl_analytic, torch.zeros_like(terms.kl_analytic))
        else:
            reconstruction.append(terms.reconstruction)
            prior.append(terms.elbo - terms.reconstruction)
    if reconstruction:
        return terms_without_posterior(
            torch.cat(reconstruction, 1), torch.cat(prior, 1), images, model.exact
        ), None
    encodings = surgery.encodings()
    columns = surgery.compute()
    if analytic.n > 0:
        columns["kl_analytic"] = analytic.compute()
    return columns, encodings


def terms_of_block(model, y: Tensor, samples: int, *key: int | str) -> Terms:
    """Return the terms of one block; each sample has noise of its own, however many there are."""
    draws = [
        model.terms(y, Noise(*key, "terms", sample, device=y.device)) for sample in range(samples)
    ]
    return Terms.join(draws)


def terms_without_posterior(
    reconstruction: Tensor, log_prior: Tensor, images: Tensor, is_exact: bool
) -> dict[str, Estimate]:
    """Return the columns of a flow, or of a model with an exact log-likelihood.

    A flow's posteriors are disjoint for distinct data, so its mutual information is log n, less
    where the split holds copies: mean of log(n / number of copies). Its KL terms are infinite,
    and therefore empty.
    """
    columns = {"elbo": mean_estimate(reconstruction + log_prior)}
    if is_exact:
        columns["elbo"] = exact(columns["elbo"].value, columns["elbo"].n)
        return columns
    columns["reconstruction"] = mean_estimate(reconstruction)
    n = len(images)
    copies = Counter(row.tobytes() for row in images.cpu().numpy())
    lost = sum(count * log(count) for count in copies.values()) / n
    columns["mutual_information"] = exact(log(n) - lost, n)
    return columns


def evaluate_evidence(
    model,
    images: Tensor,
    config: EvaluationConfig,
    key: tuple[int, str],
    columns: dict[str, Estimate],
    progress: Callable[[float], None],
) -> dict[str, Estimate]:
    """Return the headline log-likelihood (L_K, or exact) and the inference gap L_K − ELBO."""
    if model.exact:
        return {"log_likelihood": columns["elbo"]}
    bound, gap = MeanEstimate(), MeanEstimate()
    bound.samples = gap.samples = config.importance_samples
    n = min(config.importance_data, len(images))
    starts = range(0, n, EVALUATION_BLOCK)
    for number, start in enumerate(starts):
        y = images[start : start + EVALUATION_BLOCK]
        value, variance = importance_weighted_bound(
            model, y, config.importance_samples, *key, "importance", number
        )
        elbo = terms_of_block(model, y, config.elbo_samples, *key, number).elbo.double()
        spread = elbo.var(0) / len(elbo) if len(elbo) > 1 else torch.full_like(value, torch.nan)
        # Whole blocks are drawn, whatever is used of the last: noise belongs to the datum.
        used = slice(0, n - start)
        bound.update(value[used], variance[used])
        gap.update((value - elbo.mean(0))[used], (variance + spread)[used])
        progress((number + 1) / len(starts))
    return {"log_likelihood": bound.compute(), "inference_gap": gap.compute()}
