"""What is suspicious and not impossible, and the range of a model's own dequantization noise."""

from math import log
from typing import Any

import torch
from torch import Tensor

from bench.densities.dequantization import LARGEST_NOISE
from bench.errors import InputError
from bench.estimators.evaluate import bound_of
from bench.library.external import ExternalVAE
from bench.models.terms import Terms
from bench.noise import Noise
from bench.scoring.finding import Finding
from bench.scoring.probes import ConstantNoise, distinct_images, elbo_of

TRIED, PIXELS = 64, 32
# Widths of a bin that a wrong noise covers: u in [0, 2), [0, 4), …
WIDTHS = (2, 4, 8, 16, 255, 256)


def check_noise_range(model: Any, images: Tensor, levels: int) -> list[Finding]:
    """Check that a model's own dequantization noise covers one bin.

    With one u for all pixels, y + u at the end of a bin is y + 1 at the start of the next. If y + 1
    is reached by u = 1/2 already, u is spread over two bins.

    Raises:
        InputError: It is spread over several.
    """
    y = distinct_images(images, TRIED)
    y = y.clamp(max=levels - 2)
    terms: Terms = model.terms(y, ConstantNoise(y.device), 1)
    is_exact = bound_of(model) == "exact"
    at = lambda image, u: elbo_of(model, image, ConstantNoise(y.device, uniform=u))[0]
    if terms.log_posterior is not None or is_exact:
        return []
    start, end = at(y, 0.0), at(y, LARGEST_NOISE)
    if (start - end).abs().max() < 1e-3:
        return []  # it draws no uniform noise
    above = at(y + 1, 0.0)
    tolerance = 1e-3 * (start - end).abs().max() + 1e-4 * start.abs().max()
    if (above - end).abs().max() <= 10 * tolerance:
        return [Finding("dequantization", "passed", "u covers [0, 1), one bin")]
    for width in WIDTHS:
        if (at(y, 1 / width) - above).abs().max() <= tolerance:
            raise InputError(
                f"dequantization: y + 1 at u = 0 has the likelihood of y at u = 1/{width}, so that "
                f"the noise is spread over [0, {width}); it has to be in [0, 1)"
            )
    return [Finding("dequantization", "not done", "another noise than a uniform one on bins")]


def check_odds(model: Any, images: Tensor, levels: int, seed: int) -> list[Finding]:
    """Compare the odds that an exact model gives to two values of a pixel with what test images have.

    For a calibrated model P(y_d = a, not b | the rest) is σ(log P(a) − log P(b)). The factor c by
    which these differences have to be multiplied is then 1. It is log 2 for a log-likelihood in
    bits, and D for a mean over pixels.
    """
    if bound_of(model) != "exact":
        return []
    y, noise = distinct_images(images, TRIED), Noise(seed, "odds", device=images.device)
    dimensions = y.shape[1]
    pixels = (noise.uniform(len(y), PIXELS) * dimensions).long().clamp(max=dimensions - 1)
    steps = 1 + (noise.uniform(len(y), PIXELS) * (levels - 1)).long().clamp(max=levels - 2)
    own = elbo_of(model, y, ConstantNoise(y.device))[0]
    rows = y.repeat_interleave(PIXELS, 0)
    chosen = pixels.flatten()[:, None]
    values = (rows.gather(1, chosen).long() + steps.flatten()[:, None]) % levels
    changed = rows.scatter(1, chosen, values.to(torch.uint8))
    difference = own[:, None] - elbo_of(model, changed, ConstantNoise(y.device))[0].view(len(y), -1)
    factor, error = calibrating_factor(difference)
    for value, words in ((log(2), "in bits instead of nats"), (dimensions, "a mean over pixels")):
        if factor is not None and abs(log(factor / value)) < 0.15 and abs(factor - 1) > 4 * error:
            says = (
                f"its odds of single pixels fit the test images best after multiplication of log P by "
                f"{factor:.3g} ± {error:.2g}; is log P {words}?"
            )
            return [Finding("odds", "warning", says)]
    return [Finding("odds", "passed", "the odds of single pixels are not those of other units")]


def calibrating_factor(difference: Tensor) -> tuple[float | None, float]:
    """Return the c that maximizes Σ log σ(c Δ), with its error by leaving out images.

    None where it has no maximum, because all Δ are positive or all are negative.

    Args:
        difference: Δ, (images, pixels).
    """
    difference = difference.double().clamp(-1e6, 1e6)

    def maximum(delta: Tensor) -> float | None:
        if not ((delta > 0).any() and (delta < 0).any()):
            return None
        low, high = -9.0, 9.0
        for _ in range(50):  # the derivative falls with c
            middle = (low + high) / 2
            c = torch.tensor(middle, dtype=torch.float64).exp()
            rises = (delta * torch.sigmoid(-c * delta)).sum() > 0
            low, high = (middle, high) if rises else (low, middle)
        return float(torch.tensor(low, dtype=torch.float64).exp())

    whole = maximum(difference)
    parts = [
        maximum(torch.cat((difference[:i], difference[i + 1 :]))) for i in range(len(difference))
    ]
    known = torch.tensor([part for part in parts if part is not None], dtype=torch.float64)
    n = len(known)
    if whole is None or n < len(parts) or n < 2:
        return None, 0.0
    return whole, ((n - 1) * known.var(correction=0)).sqrt().item()


def check_log_variance(model: Any, images: Tensor) -> list[Finding]:
    """Warn where every log-variance of an encoder is positive, as a standard deviation is."""
    if not isinstance(model, ExternalVAE):
        return []
    posterior = model.posterior(distinct_images(images, TRIED))
    if not (posterior.log_scale > 0).all():
        return [Finding("log-variance", "passed", "some of q's variances are below 1")]
    words = (
        "every log-variance of encode is above 0, so that q is wider than the prior everywhere; are "
        "they standard deviations or variances?"
    )
    return [Finding("log-variance", "warning", words)]
