"""Claims 2, 3 and 6 on trained models: the bound against its number of samples."""

from collections.abc import Callable
from math import log, sqrt

import torch
from torch import Tensor

from bench.claims.curves import LadderCurve, curve_subject
from bench.claims.rows import STANDARD_ERRORS, Row, Subject, at_most, equal
from bench.densities.decoders import Gaussian
from bench.densities.discretized import log_mass_of_pixels
from bench.densities.variational_gaussian import VariationalGaussian
from bench.estimators.estimate import Estimate, MeanEstimate, mean_estimate
from bench.estimators.evidence import importance_weighted_bound, naive_evidence
from bench.models.realnvp import RealNVP
from bench.models.terms import Model
from bench.models.vae import VAE
from bench.models.variational_realnvp import VariationalRealNVP
from bench.noise import EVALUATION_BLOCK, Noise

# {K: number of independent draws of L_K for each datum}.
LADDER = {1: 100, 10: 10, 100: 4, 1000: 2}
# Draws of naive Monte-Carlo: with two latent dimensions a draw from the prior falls into the
# posterior with probability e⁻⁵, so that dozens of these do.
NAIVE_SAMPLES = 10_000
# The logarithm of a mean of 10,000 weights lies below the log-evidence by half the mean's relative
# variance; this allows for a variance of 0.2.
NAIVE_BIAS = 0.1
# Statements of claim 6, from whose rows the table of gaps is made.
TIGHTER = "bits/dim of L_{} ≤ bits/dim of the bound"
AT_ONE_LATENT = "at one z an image, bits/dim of the exact integral over u ≤ bits/dim of the bound"
# Draws of u for each pixel of each image.
UNIFORM_DRAWS = 50


def importance_ladder(model: Model, y: Tensor, seed: int) -> dict[int, Estimate]:
    """Return {K: L_K}, nats per image, each K with its own noise.

    With the same noise for all K, Jensen's inequality would give L_K ≤ L_K' in every sample,
    whatever the model.
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


def error_of(estimate: Estimate) -> float:
    """Return the standard error of an estimate of two samples or more per datum."""
    if estimate.stderr is None:
        raise ValueError("one sample per datum has no Monte-Carlo standard error")
    return estimate.stderr


def error_of_difference(a: Estimate, b: Estimate) -> float:
    return sqrt(error_of(a) ** 2 + error_of(b) ** 2)


def ladder_rows(ladder: dict[int, Estimate], subject: Subject) -> list[Row]:
    """Claim 2: L_K ≤ L_K' for neighbours on the ladder."""
    rows = []
    for few, many in zip(ladder, list(ladder)[1:]):
        error = error_of_difference(ladder[few], ladder[many])
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


def ladder_curve(ladder: dict[int, Estimate], subject: Subject, dimensions: int) -> LadderCurve:
    """Return the ladder as a curve, nats per image, for figures and for rows across runs."""
    return {
        "figure": "ladder",
        **curve_subject(subject),
        "x": list(ladder),
        "y": [estimate.value for estimate in ladder.values()],
        "error": [error_of(estimate) for estimate in ladder.values()],
        "dimensions": dimensions,
    }


def naive_rows(model: Model, y: Tensor, seed: int, subject: Subject) -> list[Row]:
    """Claim 3 on a VAE with at most two latent dimensions and a likelihood without dequantization."""
    if not isinstance(model, VAE) or model.latent_dimensions > 2:
        return []
    if isinstance(model.decoder, Gaussian):
        return []
    naive, naive_variance = mean_and_variance(naive_evidence, model, y, seed, "naive")
    weighted, weighted_variance = mean_and_variance(
        importance_weighted_bound, model, y, seed, "weighted"
    )
    error = error_of_difference(naive, weighted)
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
        variance_row(weighted_variance, naive_variance, subject),
    ]


def variance_row(weighted: float, naive: float, subject: Subject) -> Row:
    """Claim 3: importance weighting against naive Monte-Carlo by the variance of log-evidence."""
    return at_most(
        3,
        "the variance of the importance-weighted log-evidence is at most the naive one's",
        subject,
        weighted,
        naive,
        unit="nats²",
    )


def mean_and_variance(
    estimator: Callable[..., tuple[Tensor, Tensor]], model: VAE, y: Tensor, seed: int, name: str
) -> tuple[Estimate, float]:
    """Return the mean over images of an estimator with NAIVE_SAMPLES draws, and its mean variance.

    Args:
        estimator: Returns log-evidence (nats) and Monte-Carlo variance of each image, (batch,) each.
        model: A trained VAE.
        y: Images (n, D).
        seed: With ``name``, what the noise is a function of.
        name: Name of the estimator.
    """
    mean, variances = MeanEstimate(), []
    for number, block in enumerate(y.split(EVALUATION_BLOCK)):
        value, variance = estimator(model, block, NAIVE_SAMPLES, seed, name, number)
        mean.update(value, variance, NAIVE_SAMPLES)
        variances.append(variance)
    return mean.estimate(), torch.cat(variances).mean().item()


def is_dequantizing(model: Model) -> bool:
    """Tell whether a model bounds the likelihood of discrete data by dequantization."""
    if isinstance(model, VAE):
        return isinstance(model.decoder, (Gaussian, VariationalGaussian)) and model.bound == "upper"
    return isinstance(model, (RealNVP, VariationalRealNVP)) and model.bound == "upper"


def dequantization_rows(
    model: Model, y: Tensor, seed: int, ladder: dict[int, Estimate], subject: Subject
) -> list[Row]:
    """Claim 6: the bound against importance weighting, and at fixed z against the exact integral.

    A flow's only noise is u, so that its ladder closes the dequantization gap alone. A VAE's ladder
    closes the inference gap too; its second row is about the dequantization gap alone.
    """
    if not is_dequantizing(model):
        return []
    bits = 1 / (y.shape[1] * log(2))
    few, many = ladder[1], ladder[max(ladder)]
    error = error_of_difference(few, many) * bits
    gaps = "dequantization and inference gap" if isinstance(model, VAE) else "dequantization gap"
    rows = [
        at_most(
            6,
            f"{TIGHTER.format(max(ladder))} ({gaps})",
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


@torch.no_grad()
def fixed_latent_row(model: VAE, y: Tensor, seed: int, subject: Subject) -> Row:
    """Claim 6 at one z per image: E_u log p(y+u|z) against log ∫ p(y+u|z) du, pixel by pixel.

    With learned noise r(u|y) the left side is E_r[log p(y+u|z) − log r(u|y)].
    """
    decoder = model.decoder
    noise = Noise(seed, "fixed latent", device=y.device)
    outputs = model.decode(model.posterior(y).sample(noise, 1))
    drawn = outputs.expand(UNIFORM_DRAWS, *outputs.shape[1:])
    bound = mean_estimate(decoder.log_prob(drawn, y, noise).double())
    normal = decoder.gaussian if isinstance(decoder, VariationalGaussian) else decoder
    assert isinstance(normal, Gaussian)
    integral = log_mass_of_pixels(normal, outputs, y).sum(-1).mean().item()
    bits = 1 / (y.shape[1] * log(2))
    error = error_of(bound) * bits
    return at_most(
        6,
        AT_ONE_LATENT,
        subject,
        -integral * bits,
        -bound.value * bits,
        tolerance=STANDARD_ERRORS * error,
        stderr=error,
        unit="bits/dim",
    )
