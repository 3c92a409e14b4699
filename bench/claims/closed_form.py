"""Claims 1, 3 and 4 on models with closed-form evidence, posterior and M-step, in float64."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from bench.claims.curves import Curve, EMCurve, PixelValues
from bench.claims.evidence import variance_row
from bench.claims.measurements import Measurement
from bench.claims.rows import (
    EXACT,
    FIXED_POINT,
    STANDARD_ERRORS,
    Row,
    Subject,
    at_most,
    equal,
    rounding,
)
from bench.data.tasks import Task, TaskData, load_task
from bench.densities.dequantization import dequantize_uniformly, level_counts
from bench.densities.normal import LOG_2PI
from bench.estimators.evidence import importance_weighted_bound, naive_evidence
from bench.models.expectation_maximization import dequantized, expectation_maximization
from bench.models.gaussian_mixture import least_variance, mixture_steps, random_mixture
from bench.models.linear_gaussian import (
    LinearGaussianParameters,
    linear_gaussian_steps,
    maximum_likelihood,
    random_linear_gaussian,
)
from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.noise import Noise, derive_seed
from bench.settings import Progress
from bench.system.determinism import deterministic

# Half-steps of EM, as `expectation_maximization` returns them.
Trace = Sequence[Mapping[str, Any]]
LATENT_DIMENSIONS, COMPONENTS = 10, 10
# EM converges linearly: on MNIST it is within FIXED_POINT after two thousand iterations, on Fashion-MNIST
# after eight thousand. A mixture's fixed point has no closed form to compare with, and only its half-steps
# are judged.
PCA_ITERATIONS, MIXTURE_ITERATIONS = 10_000, 100
# q's mean is the true posterior's plus SHIFT, its standard deviations are STRETCH times as large.
SHIFT, STRETCH = 0.3, 1.5
TOY_DATA, TOY_SAMPLES = 500, 1000


def measure(task: dict[str, Any], seed: int, progress: Progress) -> Measurement:
    """Return rows and curves of the claims that need no training of a network.

    Args:
        task: Options of a task, as in a run's section ``data``.
        seed: The seed from which all noise derives.
        progress: Called with progress.
    """
    deterministic()
    torch.set_num_threads(1)
    data = load_task(Task(**task))
    key = derive_seed(seed, "claims in closed form")
    x = dequantized(data.train, data.task.levels, key)
    name = data.task.name
    rows = decomposition_rows(x, Subject(name, "linear_gaussian", seed))
    rows += evidence_rows(seed)
    more, curve = linear_gaussian_em(x, key, Subject(name, "linear_gaussian", seed), progress)
    rows += more
    subject = Subject(name, "gaussian_mixture", seed)
    more, mixture_curve = mixture_em(x, data.task.levels, key, subject, progress)
    rows += more
    curves: list[Curve] = [curve, mixture_curve, pixel_values(data, key)]
    return {"rows": [row.plain() for row in rows], "curves": curves}


def decomposition_rows(x: Tensor, subject: Subject) -> list[Row]:
    """Claim 1: log p(x) from the D × D covariance; ELBO and KL from q, by independent formulas."""
    parameters = maximum_likelihood(x, LATENT_DIMENSIONS)
    gain, covariance = parameters.gain_and_covariance()
    truth = MultivariateNormal((x - parameters.mean) @ gain.T, covariance)
    q = MultivariateNormal(truth.mean + SHIFT, STRETCH**2 * covariance)
    bound = closed_elbo(parameters, x, q).mean().item()
    divergence = kl_divergence(q, truth).mean().item()
    evidence = MultivariateNormal(parameters.mean, parameters.covariance()).log_prob(x)
    return [
        equal(
            1,
            "log p(x) = ELBO + KL(q ‖ p(z|x)), q a shifted and stretched posterior",
            subject,
            evidence.mean().item(),
            bound + divergence,
            tolerance=rounding(evidence.abs().mean().item()),
        )
    ]


def closed_elbo(parameters: LinearGaussianParameters, x: Tensor, q: MultivariateNormal) -> Tensor:
    """Return E_q log p(x|z) − KL(q ‖ N(0, I)) in nats, (n,), for x (n, D)."""
    weight, variance = parameters.weight, parameters.variance
    dimensions, latent = weight.shape
    error = (x - parameters.mean - q.mean @ weight.T).square().sum(1)
    error = error + (weight.T @ weight * q.covariance_matrix[0]).sum()
    likelihood = -0.5 * (dimensions * (LOG_2PI + variance.log()) + error / variance)
    identity = torch.eye(latent, dtype=torch.float64)
    prior = MultivariateNormal(torch.zeros(latent, dtype=torch.float64), identity)
    return likelihood - kl_divergence(q, prior)


def evidence_rows(seed: int) -> list[Row]:
    """Claim 3: both estimators of p(x) are unbiased, and their variances compared."""
    model = LinearGaussianVAE(shift=SHIFT, stretch=STRETCH)
    subject = Subject("linear-gaussian", "linear_gaussian (6 dimensions, 2 latent)", seed)
    x = model.data(TOY_DATA, "claims", seed)
    truth = model.log_evidence(x)
    rows, variances = [], {}
    for name, estimator in (("naive", naive_evidence), ("weighted", importance_weighted_bound)):
        value, variance = estimator(model, x, TOY_SAMPLES, "claims", name, seed)
        ratio = (value - truth).exp()
        error = ratio.std().item() / sqrt(len(ratio))
        variances[name] = variance.mean().item()
        words = "naive Monte-Carlo" if name == "naive" else "importance weighting"
        rows.append(
            equal(
                3,
                f"{words}: the mean of its estimate of p(x), over p(x), is 1",
                subject,
                ratio.mean().item(),
                1.0,
                tolerance=STANDARD_ERRORS * error,
                stderr=error,
                unit="ratio",
            )
        )
    return [*rows, variance_row(variances["weighted"], variances["naive"], subject)]


def half_step_rows(trace: Trace, subject: Subject) -> list[Row]:
    """Claim 4 for the half-steps of any EM."""
    bounds = [step["elbo"] for step in trace]
    gaps = [step["log_evidence"] - step["elbo"] for step in trace if step["half_step"] == "E"]
    evidences = [step["log_evidence"] for step in trace if step["half_step"] == "M"]
    smallest = lambda values: min(b - a for a, b in zip(values, values[1:]))
    size = max(abs(bound) for bound in bounds)
    return [
        equal(
            4,
            "the E-step closes the gap: the largest |log p(x) − ELBO| after it is 0",
            subject,
            max(map(abs, gaps)),
            0.0,
            tolerance=rounding(size, EXACT),
        ),
        at_most(
            4,
            "no half-step lowers the bound: 0 ≤ the smallest change",
            subject,
            0.0,
            smallest(bounds),
            tolerance=rounding(size, EXACT),
        ),
        at_most(
            4,
            "no M-step lowers the evidence: 0 ≤ the smallest change",
            subject,
            0.0,
            smallest(evidences),
            tolerance=rounding(size, EXACT),
        ),
    ]


def linear_gaussian_em(
    x: Tensor, key: int, subject: Subject, progress: Progress
) -> tuple[list[Row], EMCurve]:
    """Claim 4 on the linear-Gaussian model, with its closed-form fixed point."""
    steps = replace(linear_gaussian_steps(x), log_evidence=evidence_by_eigenvalues(x))
    start = random_linear_gaussian(x, LATENT_DIMENSIONS, key)
    fitted, trace = expectation_maximization(steps, start, PCA_ITERATIONS, progress=progress)
    closed = maximum_likelihood(x, LATENT_DIMENSIONS)
    limit = steps.log_evidence(closed)
    distance = (fitted.covariance() - closed.covariance()).norm() / closed.covariance().norm()
    rows = half_step_rows(trace, subject) + [
        equal(
            4,
            "the fixed point's evidence is the closed form's",
            subject,
            steps.log_evidence(fitted),
            limit,
            tolerance=rounding(limit, FIXED_POINT),
        ),
        equal(
            4,
            "the fixed point's W Wᵀ + σ² I is the closed form's: relative distance 0",
            subject,
            distance.item(),
            0.0,
            tolerance=FIXED_POINT,
            unit="relative",
        ),
    ]
    curve = em_curve(trace, subject)
    curve["limit"] = limit
    return rows, curve


def evidence_by_eigenvalues(x: Tensor) -> Callable[[LinearGaussianParameters], float]:
    """Return the mean log p(x|θ) in nats of data x (n, D) as a function of W and σ², by Cov(x)'s eigenvalues.

    They are those of W Wᵀ plus σ². μ is the mean of x, where EM leaves it. A factorization of Cov(x) costs D³, which on MNIST is ten times as much
    as EM's half-steps, D²·d each.
    """
    centred = x - x.mean(0)
    scatter = centred.T @ centred / len(x)

    def log_evidence(parameters: LinearGaussianParameters) -> float:
        vectors, lengths, _ = torch.linalg.svd(parameters.weight, full_matrices=False)
        eigenvalues, others = lengths.square() + parameters.variance, len(scatter) - len(lengths)
        inside = (vectors * (scatter @ vectors)).sum(0)
        outside = scatter.trace() - inside.sum()
        distance = (inside / eigenvalues).sum() + outside / parameters.variance
        determinant = eigenvalues.log().sum() + others * parameters.variance.log()
        return -0.5 * (len(scatter) * LOG_2PI + determinant + distance).item()

    return log_evidence


def mixture_em(
    x: Tensor, levels: int, key: int, subject: Subject, progress: Progress
) -> tuple[list[Row], EMCurve]:
    """Claim 4 on a mixture of diagonal normals."""
    start = random_mixture(x, COMPONENTS, key)
    steps = mixture_steps(x, least_variance(levels))
    _, trace = expectation_maximization(steps, start, MIXTURE_ITERATIONS, progress=progress)
    return half_step_rows(trace, subject), em_curve(trace, subject)


def em_curve(trace: Trace, subject: Subject) -> EMCurve:
    """Return the bound after the first 100 half-steps, and after every 20th from there on."""
    shown = [i for i in range(len(trace)) if i < 100 or i % 20 == 0]
    return {
        "figure": "em",
        "task": subject.task,
        "model": subject.model,
        "seed": subject.seed,
        "x": [i + 1 for i in shown],
        "y": [trace[i]["elbo"] for i in shown],
    }


def pixel_values(data: TaskData, key: int) -> PixelValues:
    """Return shares of levels, and the histogram of uniformly dequantized pixels."""
    levels = data.task.levels
    counts = level_counts(data.train, levels).sum(0)
    x = dequantize_uniformly(data.train[:1000], levels, 1, Noise(key, "pixel values"))
    bins = min(5 * levels, 256)
    histogram = torch.histc(x.double(), bins, 0, 1)
    return {
        "figure": "pixels",
        "task": data.task.name,
        "x": list(range(levels)),
        "y": (counts / counts.sum()).tolist(),
        "bins": [(i + 0.5) / bins for i in range(bins)],
        "density": (histogram / histogram.sum() * bins).tolist(),
    }
