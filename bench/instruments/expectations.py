"""Expectations of biased estimators by direct simulation in NumPy, apart from the code they judge.

L_K and naive Monte-Carlo are below log p(x) by construction. What their values and intervals are
held against is the expectation at the same K, which follows from very many independent repeats of
log-weights that are written down here directly.
"""

from collections.abc import Callable
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import norm

Numbers = NDArray[np.float64]
# (generator, repeats) → log-weights (repeats, K), relative to log p(x) or absolute.
DrawWeights = Callable[[np.random.Generator, int], Numbers]
# Repeats that are drawn at once.
CHUNK = 100


class Expectation(NamedTuple):
    """An expectation and the standard error of its simulation."""

    value: float
    stderr: float = 0.0

    def less(self, constant: float) -> "Expectation":
        """Return the expectation of the difference to a constant."""
        return Expectation(self.value - constant, self.stderr)


class BoundExpectations(NamedTuple):
    """E[L_K] and E[L_K − mean of L_{K/2} of both halves], in nats."""

    bound: Expectation
    rise: Expectation


def expected_bound(draw: DrawWeights, repeats: int, seed: int = 0) -> BoundExpectations:
    """Return the expectations of a bound by ``repeats`` independent repeats."""
    generator = np.random.Generator(np.random.Philox(seed))
    bounds, rises = [], []
    for _ in range(repeats // CHUNK):
        log_weights = draw(generator, CHUNK)
        half = log_weights.shape[1] // 2
        whole, first, second = (
            logsumexp(part, axis=1) - np.log(part.shape[1])
            for part in (log_weights, log_weights[:, :half], log_weights[:, half:])
        )
        bounds.append(whole)
        rises.append(whole - (first + second) / 2)
    return BoundExpectations(mean_of(np.concatenate(bounds)), mean_of(np.concatenate(rises)))


def mean_of(values: Numbers) -> Expectation:
    """Return the mean of independent values with its standard error."""
    return Expectation(float(values.mean()), float(values.std(ddof=1)) / sqrt(len(values)))


def normal_ratio(samples: int, dimensions: int, stretch: float) -> DrawWeights:
    """Return log p(z|x) − log q(z|x) of z ~ q, two centred normals of standard deviations 1 and stretch.

    It is a multiple of a χ² variable: ½ (1 − stretch²) χ²_d + d log stretch.
    """
    return lambda generator, repeats: (
        0.5 * (1 - stretch**2) * generator.chisquare(dimensions, (repeats, samples))
        + dimensions * np.log(stretch)
    )


def shifted_normal_ratio(samples: int, stretch: float, shifts: Numbers) -> DrawWeights:
    """Return the same with a q whose mean is moved by ``shifts`` (d,) standard deviations of p."""

    def draw(generator: np.random.Generator, repeats: int) -> Numbers:
        noise = generator.standard_normal((repeats, samples, len(shifts)))
        inside = np.square(noise) - np.square(stretch * noise + shifts)
        total: Numbers = 0.5 * inside.sum(-1) + len(shifts) * np.log(stretch)
        return total

    return draw


def shifted_normal_moment(power: int, stretch: float, shifts: Numbers) -> float:
    """Return E w^power of the weights w = p/q of ``shifted_normal_ratio``, in closed form.

    In one dimension it is ∫ N(z; 0, 1)^m N(z; a, s²)^{1−m} dz, a normal integral of precision
    m + (1 − m)/s², which must be above 0, as it is for s > 1.
    """
    precision = power + (1 - power) / stretch**2
    if precision <= 0:
        raise ValueError(
            f"E w^{power} is infinite for a q {stretch} times as wide as the posterior"
        )
    slope = (1 - power) * shifts / stretch**2
    exponents = slope**2 / (2 * precision) - (1 - power) * shifts**2 / (2 * stretch**2)
    factor = stretch ** (power - 1) / sqrt(precision)
    return float(np.prod(factor * np.exp(exponents)))


def bound_series(samples: int, moments: tuple[float, float]) -> Expectation:
    """Return E[L_K] − log p(x) for large K, in nats: −μ₂/(2K) + (μ₃/3 − ¾ μ₂²)/K² + O(K⁻³).

    The series is the expectation of log(1 + δ) = δ − δ²/2 + δ³/3 − δ⁴/4 …, δ being the mean of K
    weights w less 1: E δ² = μ₂/K, E δ³ = μ₃/K², E δ⁴ = 3μ₂²/K² + O(K⁻³). Its error is taken to be as
    large as its second term, of which the remainder is a small part.

    Args:
        samples: K.
        moments: E w² and E w³ of weights whose mean is 1.
    """
    second, third = moments
    variance = second - 1
    skew = third - 3 * second + 2
    last = (skew / 3 - 0.75 * variance**2) / samples**2
    return Expectation(-variance / (2 * samples) + last, abs(last))


def dequantized(
    samples: int, image: Numbers, levels: int, log_density: Callable[[Numbers], Numbers]
) -> DrawWeights:
    """Return log-weights of uniform dequantization, log p((y + u) / L) − D log L.

    Args:
        samples: K.
        image: y (D,).
        levels: L.
        log_density: log p of each pixel, elementwise.
    """

    def draw(generator: np.random.Generator, repeats: int) -> Numbers:
        x = (image + generator.random((repeats, samples, len(image)))) / levels
        total: Numbers = (log_density(x) - np.log(levels)).sum(-1)
        return total

    return draw


def log_normal_density(mean: float, scale: float) -> Callable[[Numbers], Numbers]:
    return lambda x: norm.logpdf(x, mean, scale)


def log_normal_masses(image: Numbers, levels: int, mean: float, scale: float) -> float:
    """Return Σ_d log ∫ N(x; mean, scale²) dx over the bins [y, y + 1) / L, in nats."""
    ends = [norm.cdf((image + end) / levels, mean, scale) for end in (0, 1)]
    return float(np.log(ends[1] - ends[0]).sum())


def logit(x: Numbers, alpha: float) -> Numbers:
    """Return the logits of α + (1 − 2α) x."""
    s = alpha + (1 - 2 * alpha) * x
    return np.log(s) - np.log1p(-s)


def log_logit_normal_density(alpha: float) -> Callable[[Numbers], Numbers]:
    """Return log p(x) of a standard normal logit of α + (1 − 2α) x."""

    def log_density(x: Numbers) -> Numbers:
        s = alpha + (1 - 2 * alpha) * x
        density: Numbers = norm.logpdf(logit(x, alpha))
        return density - np.log(s) - np.log1p(-s) + np.log(1 - 2 * alpha)

    return log_density


def log_logit_normal_masses(image: Numbers, levels: int, alpha: float) -> float:
    """Return Σ_d log of the mass of the bins [y, y + 1) / L under that density, in nats."""
    ends = [norm.cdf(logit((image + end) / levels, alpha)) for end in (0, 1)]
    return float(np.log(ends[1] - ends[0]).sum())


def minibatch_expectation(
    loc: Numbers, scale: Numbers, batch: int, is_stratified: bool, repeats: int = 100_000
) -> Expectation:
    """Return the expectation of mini-batch estimates of the mutual information (Chen et al. 2018).

    Args:
        loc: Means of q(z|x_j) of a split, one latent dimension, (n,).
        scale: Their standard deviations (n,).
        batch: B, the number of data in a batch.
        is_stratified: The stratified estimator, eq. S6; otherwise the weighted one, eq. S4.
        repeats: Number of simulated batches; of each the first datum is used.
    """
    generator = np.random.Generator(np.random.Philox(1))
    n, others = len(loc), batch - 1
    chosen = generator.random((repeats, n)).argpartition(batch, axis=1)[:, :batch]
    own = chosen[:, 0]
    z = loc[own] + scale[own] * generator.standard_normal(repeats)
    densities = norm.pdf(z[:, None], loc[chosen], scale[chosen])
    weights = np.full(batch, 1 / (n * batch))
    if is_stratified:
        weights = np.array([1 / n, (n - others) / (n * others), *[1 / others] * (others - 1)])
    return mean_of(np.log(densities[:, 0]) - np.log(densities @ weights))


def frechet_expectation(factor: float, n: int, dimensions: int, repeats: int = 300) -> Expectation:
    """Return the expectation of the Fréchet distance of n draws of U[0, factor]^d and of U[0, 1]^d."""
    generator = np.random.Generator(np.random.Philox(2))
    distances = []
    for _ in range(repeats):
        a, b = factor * generator.random((n, dimensions)), generator.random((n, dimensions))
        first, second = np.cov(a.T), np.cov(b.T)
        # The trace of (C_a C_b)^½, whose eigenvalues are those of the symmetric form.
        overlap = np.sqrt(np.linalg.eigvals(first @ second).real.clip(min=0)).sum()
        means = np.square(a.mean(0) - b.mean(0)).sum()
        distances.append(means + np.trace(first) + np.trace(second) - 2 * overlap)
    return mean_of(np.array(distances))
