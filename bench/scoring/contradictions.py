"""Checks at the images of the task: what no correct model does is refused."""

from collections.abc import Iterator
from math import log
from typing import Any

import torch
from torch import Tensor

from bench.densities.dequantization import level_counts
from bench.errors import InputError
from bench.models.terms import Terms
from bench.noise import Noise
from bench.scoring.finding import Finding
from bench.scoring.probes import ConstantNoise, distinct_images, elbo_of

TRIED = 8
# Rounding of a sum over pixels, relative to its parts; a GPU chooses other kernels for other batches.
ROUNDING, ROUNDING_ON_GPU = 1e-4, 1e-3
# Draws from a known distribution, the training images that one is made of, and the share of their
# pixels that it redraws.
DRAWS, EXEMPLARS, REDRAWN = 100, 500, 0.02
# Standard errors beyond which a mean is above its bound.
CERTAIN = 5.0


def check_numbers(model: Any, images: Tensor) -> list[Finding]:
    """Check that terms are finite, are the same twice, and are each datum's own.

    Raises:
        InputError: They are not.
    """
    y = distinct_images(images, TRIED)
    noise = lambda: ConstantNoise(y.device)
    terms: Terms = model.terms(y, noise(), 1)
    for name in ("reconstruction", "log_prior", "log_posterior", "kl_analytic"):
        values = getattr(terms, name)
        if values is not None and not values.isfinite().all():
            bad = values[~values.isfinite()].flatten()[0].item()
            raise InputError(
                f"not finite: {name} of a test image is {bad}; every image of the task needs a number"
            )
    tolerance = scale_of(terms) * (ROUNDING if y.device.type == "cpu" else ROUNDING_ON_GPU)
    among, again = terms.elbo.double()[0], elbo_of(model, y, noise())[0]
    worst = (among - again).abs().argmax()
    if (among - again).abs()[worst] > tolerance:
        raise InputError(
            f"random: the same image and noise gave {among[worst]:.4f} and {again[worst]:.4f} nats; "
            "is a layer such as dropout in training mode, or is something drawn elsewhere than from "
            "noise.normal and noise.uniform?"
        )
    found = [Finding("randomness", "passed", "the same noise gives the same numbers twice")]
    return [*found, check_neighbours(model, y, among, tolerance)]


def check_neighbours(model: Any, y: Tensor, among: Tensor, tolerance: float) -> Finding:
    """Check that a datum has the same numbers alone and in two other batches."""
    order = torch.arange(len(y) - 1, -1, -1, device=y.device)
    alone = torch.cat([elbo_of(model, row[None], ConstantNoise(y.device))[0] for row in y[:2]])
    turned = elbo_of(model, y[order[: len(y) - 1]], ConstantNoise(y.device))[0].flip(0)
    cases = [(among[: len(alone)], alone, "alone"), (among[1:], turned, "in another batch")]
    for first, second, words in cases:
        worst = (first - second).abs().argmax()
        if not (first - second).abs()[worst] <= tolerance:
            raise InputError(
                f"neighbours: an image has {first[worst]:.4f} nats in a batch of {len(y)} and "
                f"{second[worst]:.4f} {words}; a likelihood is of one image: put batch normalization "
                "into evaluation mode, and take no mean over the batch"
            )
    return Finding("neighbours", "passed", "an image has the same numbers alone and in two batches")


def scale_of(terms: Terms) -> float:
    parts = (terms.reconstruction, terms.log_prior, terms.log_posterior)
    return max([1.0, *(part.abs().max().item() for part in parts if part is not None)])


Known = tuple[str, Tensor, Tensor]  # its name, draws (n, D), their log-probabilities (n,) in nats


def check_not_too_good(model: Any, train: Tensor, levels: int, seed: int) -> list[Finding]:
    """Check Gibbs' inequality: E_r log P(y) ≤ E_r log r(y) for every distribution r over images.

    It holds for any P whose masses sum to at most 1, so that a mean above the bound is impossible:
    that of likelihoods per pixel, of densities without their −D log L, of log-probabilities above 0.

    Raises:
        InputError: A mean is above, by more than five standard errors.
    """
    found = []
    for name, y, log_r in known_distributions(train, levels, seed):
        noise = Noise(seed, "tried", name, device=y.device)
        difference = elbo_of(model, y, noise, 2).mean(0) - log_r
        if difference.isnan().any():
            found.append(Finding("Gibbs' inequality", "not done", f"NaN on {name}"))
            continue
        mean = difference.mean().item()
        error = difference.std().item() / len(difference) ** 0.5
        if mean > 1e-3 * y.shape[1] ** 0.5 and mean > CERTAIN * error:
            raise InputError(
                f"too good: {name} get {(difference + log_r).mean():.2f} nats on average, and no "
                f"distribution over images can give them more than {log_r.mean():.2f} (Gibbs' "
                "inequality); is it a mean over pixels, a density without −D log L or without the "
                "log-derivative of its preprocessing, or of the wrong sign?"
            )
        words = f"{name} get {-mean:.1f} nats less than the bound"
        found.append(Finding("Gibbs' inequality", "passed", words))
    return found


def known_distributions(train: Tensor, levels: int, seed: int) -> Iterator[Known]:
    """Yield distributions over images whose probabilities are known, with draws from each."""
    dimensions, device = train.shape[1], train.device
    noise = Noise(seed, "known distributions", device=device)
    uniform = (noise.uniform(DRAWS, dimensions) * levels).floor().clamp(max=levels - 1)
    constant = torch.full((DRAWS,), -dimensions * log(levels), dtype=torch.float64, device=device)
    yield "uniformly random images", uniform.to(torch.uint8), constant

    counts = level_counts(train, levels) + 1
    frequency = counts / counts.sum(1, keepdim=True)
    cumulative = frequency.cumsum(1)[:, :-1]
    draws = torch.empty(DRAWS, dimensions, dtype=torch.uint8, device=device)
    for row in range(DRAWS):
        u = noise.uniform(dimensions, 1).double()
        draws[row] = (cumulative <= u).sum(1).to(torch.uint8)
    own = frequency.log()[torch.arange(dimensions, device=device), draws.long()].sum(1)
    yield "images of independent pixels", draws, own

    few = train[:EXEMPLARS]
    chosen = few[(noise.uniform(DRAWS, 1)[:, 0] * len(few)).long().clamp(max=len(few) - 1)]
    is_new = noise.uniform(DRAWS, dimensions) < REDRAWN
    new = (noise.uniform(DRAWS, dimensions) * levels).floor().clamp(max=levels - 1)
    y = torch.where(is_new, new.to(torch.uint8), chosen)
    same = torch.stack([(row == few).sum(1) for row in y]).double()
    kept, other = log(1 - REDRAWN + REDRAWN / levels), log(REDRAWN / levels)
    log_r = (same * kept + (dimensions - same) * other).logsumexp(1) - log(len(few))
    yield "training images with a few pixels redrawn", y, log_r
