"""The integral of a density over images of a few pixels, by importance sampling."""

from dataclasses import dataclass, replace
from math import log, pi, prod

import torch
from torch import Tensor

from bench.adapters.density import DensityModel
from bench.noise import Noise
from bench.scoring.finding import Contradiction, Finding

CHECK = "integral of the density"
POINTS, BLOCK = 60_000, 20_000
# An integral is 1 up to this and up to its error; one with a larger error is not known.
TOLERANCE, CERTAIN, KNOWN = 0.02, 5.0, 0.03
# α of the logits whose log-derivative may be missing.
ALPHAS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.025, 0.05, 0.1)
UNKNOWN = "is the log-derivative of a transformation missing, or counted twice?"


@dataclass(frozen=True)
class Drawn:
    """Points that were drawn.

    Attributes:
        values: ``log_prob`` of them, (n,).
        proposal: The log-density by which they were drawn, (n,).
        positions: The points (n, D).
    """

    values: Tensor
    proposal: Tensor
    positions: Tensor

    def integral(self, factor: float = 1.0) -> tuple[float, float]:
        """Return the integral of exp(factor · log_prob), and its standard error."""
        weights = (factor * self.values - self.proposal).exp()
        weights = torch.nan_to_num(weights, nan=0.0)
        return weights.mean().item(), weights.std().item() / len(weights) ** 0.5


def check_integral(model: DensityModel, seed: int) -> list[Finding]:
    """Check that ``log_prob`` integrates to at most 1 over images, and to 1 over all numbers.

    Raises:
        Contradiction: It does not.
    """
    low, high = interval_of(model)
    dimensions = prod(model.shape)
    pixels = "one pixel" if dimensions == 1 else f"{dimensions} pixels"
    on_images = drawn(model, *draw_inside(POINTS, dimensions, low, high, seed))
    of_all = drawn(model, *draw_anywhere(POINTS, dimensions, low, high, seed))
    inside, error = on_images.integral()
    everywhere, wide = of_all.integral()
    is_known = wide < KNOWN * max(1.0, everywhere)
    seen = f"{everywhere:.4g} ± {wide:.2g} over all numbers, for {pixels}"
    reasons = lambda: explanations(model, of_all, True) + explanations(model, on_images, False)
    if inside - CERTAIN * error > 1 + TOLERANCE:
        seen = f"{inside:.4g} ± {error:.2g} over images of {pixels}, and at most 1 is possible"
        raise Contradiction(CHECK, seen, reasons(), UNKNOWN)
    if is_known and abs(everywhere - 1) < TOLERANCE + CERTAIN * wide:
        return [Finding(CHECK, "passed", f"{seen}; {min(inside, 1):.3f} of it on images")]
    if is_known and (found := explanations(model, of_all, True)):
        raise Contradiction(CHECK, f"{seen}, and not 1", found, UNKNOWN, is_certain=False)
    if error < KNOWN and abs(inside - 1) < TOLERANCE + CERTAIN * error:
        return [Finding(CHECK, "passed", f"{inside:.4g} ± {error:.2g} over images of {pixels}")]
    if found := explanations(model, on_images, False):
        raise Contradiction(CHECK, f"{seen}, and not 1", found, UNKNOWN, is_certain=False)
    if not is_known:
        return [Finding(CHECK, "not done", f"{seen}: not known well enough")]
    return [Finding(CHECK, "warning", f"{seen}, and not 1: {UNKNOWN}")]


def interval_of(model: DensityModel) -> tuple[float, float]:
    """Return the interval in which what ``log_prob`` takes of an image lies."""
    images = model.images
    if images.kind != "logit":
        return images.low, images.high
    end = log((1 - images.alpha) / images.alpha)
    return -end, end


def draw_inside(
    n: int, dimensions: int, low: float, high: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Return points in the interval, half of them near its ends, and their log-density (n,)."""
    noise = Noise(seed, "integral", "inside")
    u, is_even = noise.uniform(n, dimensions).double(), noise.uniform(n, dimensions) < 0.5
    # The arcsine distribution is dense at both ends.
    share = torch.where(is_even, u, (0.5 * pi * u).sin().square())
    share = share.clamp(1e-7, 1 - 1e-7)
    density = 0.5 + 0.5 / (pi * (share * (1 - share)).sqrt())
    log_density = density.log().sum(1) - dimensions * log(high - low)
    return low + (high - low) * share, log_density


def draw_anywhere(
    n: int, dimensions: int, low: float, high: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Return points of a mixture of Cauchy distributions, and their log-density (n,)."""
    middle, width = (low + high) / 2, high - low
    parts = [(0.0, 1.0), (middle, width / 2), (middle, width / 20)]
    noise = Noise(seed, "integral", "anywhere")
    part = (noise.uniform(n, 1)[:, 0] * len(parts)).long().clamp(max=len(parts) - 1)
    location, scale = torch.tensor(parts, dtype=torch.float64).T
    u = noise.uniform(n, dimensions).double().clamp(1e-6, 1 - 1e-6)
    x = location[part][:, None] + scale[part][:, None] * (pi * (u - 0.5)).tan()
    standardized = (x[:, None] - location[:, None]) / scale[:, None]
    of_part = -(pi * scale[:, None] * (1 + standardized.square())).log().sum(-1)
    return x, of_part.logsumexp(1) - log(len(parts))


def drawn(model: DensityModel, points: Tensor, proposal: Tensor) -> Drawn:
    """Return the log-densities of points that were drawn."""
    return Drawn(log_density(model, points), proposal, points)


def log_density(model: DensityModel, points: Tensor) -> Tensor:
    """Return log_prob of points (n, D), float64; −inf where it is not defined."""
    found = []
    for block in points.float().split(BLOCK):
        try:
            values = model.of_rows(block).double()
        except Exception:  # outside of its support a density may raise anything
            values = of_images_alone(model, block)
        found.append(torch.nan_to_num(values, nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf))
    return torch.cat(found)


def of_images_alone(model: DensityModel, block: Tensor) -> Tensor:
    """Return log_prob inside the interval of images alone, for a density that refuses others."""
    low, high = interval_of(model)
    inside = ((block > low) & (block < high)).all(1)
    values = torch.full((len(block),), -torch.inf, dtype=torch.float64)
    if inside.any():
        values[inside] = model.of_rows(block[inside]).double()
    return values


def explanations(model: DensityModel, points: Drawn, is_whole: bool) -> list[str]:
    """Return what would make the density integrate to 1, of the usual mistakes.

    Args:
        model: The model.
        points: Points where it may be.
        is_whole: Whether they are all numbers, and not those of images alone.
    """
    dimensions = prod(model.shape)
    found = []
    total, error = points.integral()
    low, high = interval_of(model)
    for size in {float(model.levels), high - low} - {1.0}:
        if total <= 0 or error > KNOWN * total:
            break
        volume = dimensions * log(size)
        if total < 1 and not is_whole:
            continue
        if abs(abs(log(total)) - abs(volume)) < TOLERANCE + CERTAIN * error / total:
            if total > 1:
                found.append(f"{size:g}^D times too much: − D log {size:g} is missing")
            else:
                found.append(
                    f"{size:g}^D times too little: − D log {size:g} is in log_prob already; with "
                    f"--images dequantized:0:{size:g} none is subtracted"
                )
    changed = [(points.integral(factor), words) for factor, words in factors_of(dimensions)]
    if model.images.kind == "dequantized":
        share = (points.positions - low) / (high - low)
        words = (
            "the log-derivative of a logit is missing; log p(x) = log p(logit(s)) + Σ log(ds/dx) − "
            "log s − log(1 − s)"
        )
        for alpha in ALPHAS:
            changed.append((with_logit_derivative(points, share, alpha, high - low), words))
    for (total, error), words in changed:
        if error < KNOWN and abs(total - 1) < TOLERANCE + 3 * error:
            found.append(words)
    return found


def with_logit_derivative(
    points: Drawn, share: Tensor, alpha: float, width: float
) -> tuple[float, float]:
    """Return the integral with the log-derivative of logit(α + (1 − 2α) share), and its error."""
    s = alpha + (1 - 2 * alpha) * share
    is_inside = ((s > 0) & (s < 1)).all(1)
    slope = log((1 - 2 * alpha) / width)
    derivative = (slope - s.clamp(1e-12).log() - (1 - s).clamp(1e-12).log()).sum(1)
    values = torch.where(is_inside, points.values + derivative, -torch.inf)
    return replace(points, values=values).integral()


def factors_of(dimensions: int) -> list[tuple[float, str]]:
    """Return (factor, words) of the units in which a log-likelihood may be by mistake."""
    factors = [
        (log(2), "it is in bits; nats are needed, bits · log 2"),
        (-1.0, "it is the negative log-likelihood"),
        (-log(2), "it is the negative log-likelihood in bits"),
    ]
    if dimensions > 1:
        factors += [
            (float(dimensions), "it is a mean over pixels; their sum is needed"),
            (dimensions * log(2), "it is in bits/dim; nats summed over pixels are needed"),
            (-float(dimensions), "it is the mean over pixels of the negative log-likelihood"),
            (-dimensions * log(2), "it is bits/dim of the loss; log P in nats is needed"),
        ]
    return factors
