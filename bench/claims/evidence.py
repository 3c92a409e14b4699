"""Claims 2, 3 and 6 on trained models: the bound against its number of samples."""

from math import log, sqrt

import torch
from torch import Tensor

from bench.claims.rows import STANDARD_ERRORS, Row, Subject, at_most, equal
from bench.densities.decoders import Gaussian
from bench.densities.discretized import log_normal_mass
from bench.estimators.estimate import Estimate, MeanEstimate, mean_estimate
from bench.estimators.evidence import importance_weighted_bound, naive_evidence
from bench.models.realnvp import RealNVP
from bench.models.vae import VAE
from bench.models.variational_realnvp import VariationalRealNVP
from bench.noise import EVALUATION_BLOCK, Noise

# K, and how often L_K is drawn anew for each datum.
LADDER = {1: 100, 10: 10, 100: 4, 1000: 2}
# Draws of naive Monte-Carlo: with two latent dimensions the prior meets the posterior e⁻⁵ of the
# time, so that thousands of them see it often.
NAIVE_SAMPLES = 10_000
# The logarithm of a mean of 10,000 weights lies below that of the evidence by half its relative
# variance; this allows for a variance of 0.2.
NAIVE_BIAS = 0.1


def importance_ladder(model, y: Tensor, seed: int) -> dict[int, Estimate]:
    """Return L_K, nats per image, for K of the ladder; each K has noise of its own.

    With one noise for all, L_K ≤ L_K' would hold in every sample, by Jensen's inequality, whatever
    the model did.
    """
    ladder = {}
    for samples, repeats in LADDER.items():
        draws = []
        for repeat in range(repeats):
            blocks = [
                importance_weighted_bound(
                    model, block, samples, seed, "ladder", samples, repeat, number
                )[0]
                for number, block in enumerate(y.split(EVALUATION_BLOCK))
            ]
            draws.append(torch.cat(blocks))
        ladder[samples] = mean_estimate(torch.stack(draws))
    return ladder


def both_errors(a: Estimate, b: Estimate) -> float:
    return sqrt(a.stderr**2 + b.stderr**2)


def ladder_rows(ladder: dict[int, Estimate], subject: Subject) -> list[Row]:
    """Claim 2: L_K ≤ L_K' for neighbours on the ladder."""
    rows = []
    for few, many in zip(ladder, list(ladder)[1:]):
        error = both_errors(ladder[few], ladder[many])
        first = "the ELBO" if few == 1 else f"L_{few}"
        rows.append(
            at_most(
                2,
                f"{first} ≤ L_{many}",
                subject,
                ladder[few].value,
                ladder[many].value,
                tolerance=STANDARD_ERRORS * error,
                stderr=error,
            )
        )
    return rows


def ladder_curve(ladder: dict[int, Estimate], subject: Subject, dimensions: int) -> dict:
    """Return the ladder as a curve, nats per image, for figures and for rows across runs."""
    return {
        "figure": "ladder",
        "task": subject.task,
        "model": subject.model,
        "seed": subject.seed,
        "x": list(ladder),
        "y": [estimate.value for estimate in ladder.values()],
        "error": [estimate.stderr for estimate in ladder.values()],
        "dimensions": dimensions,
    }


def naive_rows(model, y: Tensor, seed: int, subject: Subject) -> list[Row]:
    """Claim 3 on a VAE with at most two latent dimensions and a likelihood without noise in it."""
    applies = isinstance(model, VAE) and model.latent_dimensions <= 2
    if not applies or isinstance(model.decoder, Gaussian):
        return []
    naive, weighted = MeanEstimate(), MeanEstimate()
    spreads = {"naive": [], "weighted": []}
    for number, block in enumerate(y.split(EVALUATION_BLOCK)):
        value, variance = naive_evidence(model, block, NAIVE_SAMPLES, seed, "naive", number)
        naive.update(value, variance, NAIVE_SAMPLES)
        spreads["naive"].append(variance)
        value, variance = importance_weighted_bound(
            model, block, NAIVE_SAMPLES, seed, "weighted", number
        )
        weighted.update(value, variance, NAIVE_SAMPLES)
        spreads["weighted"].append(variance)
    naive, weighted = naive.estimate(), weighted.estimate()
    error = both_errors(naive, weighted)
    variances = {name: torch.cat(parts).mean().item() for name, parts in spreads.items()}
    return [
        equal(
            3,
            f"naive Monte-Carlo and importance weighting, {NAIVE_SAMPLES:,} draws each, give one "
            "log-evidence",
            subject,
            naive.value,
            weighted.value,
            tolerance=NAIVE_BIAS + STANDARD_ERRORS * error,
            stderr=error,
        ),
        at_most(
            3,
            "the variance of the importance-weighted log-evidence is at most the naive one's",
            subject,
            variances["weighted"],
            variances["naive"],
            unit="nats²",
        ),
    ]


def is_dequantizing(model) -> bool:
    if isinstance(model, (RealNVP, VariationalRealNVP)):
        return model.bound == "upper"
    return isinstance(model, VAE) and isinstance(model.decoder, Gaussian) and model.bound == "upper"


def dequantization_rows(
    model, y: Tensor, seed: int, ladder: dict[int, Estimate], subject: Subject
) -> list[Row]:
    """Claim 6: the bound against importance weighting, and at fixed z against the exact integral.

    A flow's only noise is u, so that the whole ladder closes the dequantization gap; a VAE's closes
    the inference gap with it, and only the second row tells the first apart.
    """
    if not is_dequantizing(model):
        return []
    bits = 1 / (y.shape[1] * log(2))
    few, many = ladder[1], ladder[max(ladder)]
    error = both_errors(few, many) * bits
    gaps = "dequantization and inference gap" if isinstance(model, VAE) else "dequantization gap"
    rows = [
        at_most(
            6,
            f"bits/dim of L_{max(ladder)} ≤ bits/dim of the bound ({gaps})",
            subject,
            -many.value * bits,
            -few.value * bits,
            tolerance=STANDARD_ERRORS * error,
            stderr=error,
            unit="bits/dim",
        )
    ]
    if isinstance(model, VAE):
        rows.append(fixed_latent_row(model, y, seed, subject))
    return rows


# Draws of u for each pixel of each image.
UNIFORM_DRAWS = 50


@torch.no_grad()
def fixed_latent_row(model: VAE, y: Tensor, seed: int, subject: Subject) -> Row:
    """Claim 6 for one z an image: E_u log p(y+u|z) against log ∫ p(y+u|z) du, pixel by pixel."""
    noise = Noise(seed, "fixed latent", device=y.device)
    outputs = model.decode(model.posterior(y).sample(noise, 1))
    drawn = outputs.expand(UNIFORM_DRAWS, *outputs.shape[1:])
    bound = mean_estimate(model.decoder.log_prob(drawn, y, noise).double())
    integral = log_mass_of_pixels(model.decoder, outputs, y).sum(-1).mean().item()
    bits = 1 / (y.shape[1] * log(2))
    return at_most(
        6,
        "at one z an image, bits/dim of the exact integral over u ≤ bits/dim of the bound",
        subject,
        -integral * bits,
        -bound.value * bits,
        tolerance=STANDARD_ERRORS * bound.stderr * bits,
        stderr=bound.stderr * bits,
        unit="bits/dim",
    )


def log_mass_of_pixels(decoder: Gaussian, outputs: Tensor, y: Tensor) -> Tensor:
    """Return log ∫₀¹ p((y + u)/L | z) du/L for each pixel, float64: a normal's mass in y's bin."""
    loc, log_scale = (part.double() for part in decoder.location_and_log_scale(outputs))
    precision = (-log_scale).exp()
    ends = [((y.double() + end) / decoder.levels - loc) * precision for end in (0, 1)]
    closed = torch.zeros_like(ends[0], dtype=torch.bool)
    return log_normal_mass(*ends, open_below=closed, open_above=closed)
