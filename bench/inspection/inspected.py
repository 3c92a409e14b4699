"""One trained VAE, inspected: bounds from both sides, gaps, rate and distortion, extremes, pictures."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.data.labels import labels_of_test
from bench.data.tasks import TaskData
from bench.densities.normal import DiagonalNormal
from bench.estimators.estimate import Estimate
from bench.inspection.gaps import GapSettings, InferenceGaps, inference_gaps
from bench.inspection.rate_distortion import CurvePoint, CurveSettings, rate_distortion
from bench.inspection.sandwich import Report, Sandwich, SandwichSettings, sandwich
from bench.inspection.trained_points import TrainedPoint, encoder_point
from bench.models.vae import VAE
from bench.noise import EVALUATION_BLOCK, derive_seed
from bench.runs.pictures import principal_axes
from bench.runs.trained import Trained

# Images with the largest and the smallest k̂ that are shown, and steps of a traversal.
SHOWN, STEPS, TRAVERSED = 8, 9, 4
# Shares of the time that the parts take, of a VAE with a standard normal prior on MNIST.
SHARES = {"bounds": 0.45, "gaps": 0.35, "rate and distortion": 0.2}


@dataclass(frozen=True)
class Extremes:
    """The test images for which the encoder's q serves worst and best, by the k̂ of its weights.

    Attributes:
        images: (2, SHOWN, D), first the worst.
        pareto_k: k̂ of each, (2, SHOWN).
        reconstructions: E[y|z] at the mean of q, (2, SHOWN, D), in units of levels.
        gaps: log p(y) − ELBO of each in nats, (2, SHOWN).
    """

    images: Tensor
    pareto_k: Tensor
    reconstructions: Tensor
    gaps: Tensor


@dataclass(frozen=True)
class Inspected:
    """What is known of a trained VAE.

    Attributes:
        bounds: Bounds from both sides.
        gaps: The inference gap, taken apart.
        curve: The rate–distortion curve.
        encoder: Rate and distortion of the encoder's q, on the same images.
        extremes: Images for which q serves worst and best.
        means: Posterior means of the test images on the two principal axes, (n, 2).
        shares: Share of the means' variance along each of these axes.
        labels: Class of each test image, (n,); None where this machine has no labels.
        traversals: E[y|z] along latent dimensions, (TRAVERSED, STEPS, D), in units of levels.
        dimensions: The latent dimensions that are traversed, those with most information first.
        span: First and last value of each of them.
    """

    bounds: Sandwich
    gaps: InferenceGaps
    curve: list[CurvePoint]
    encoder: TrainedPoint
    extremes: Extremes
    means: Tensor
    shares: tuple[float, float]
    labels: Tensor | None
    traversals: Tensor
    dimensions: list[int]
    span: list[tuple[float, float]]

    @property
    def columns(self) -> dict[str, Estimate | None]:
        """{name: estimate}, in nats: what inspection.csv holds."""
        gaps = self.gaps
        return {
            **self.bounds.columns,
            "elbo": gaps.elbo,
            "log_likelihood_best_q": gaps.log_likelihood,
            "log_likelihood_encoder": gaps.log_likelihood_encoder,
            "inference_gap": gaps.inference_gap,
            "approximation_gap": gaps.approximation_gap,
            "amortization_gap": gaps.amortization_gap,
            "dequantization_gap": gaps.dequantization_gap,
            "closed_by_full_covariance": gaps.closed_by_full_covariance,
        }


def inspect_model(trained: Trained, images: int, progress: Report) -> Inspected:
    """Inspect a trained VAE on the first test images of its task.

    Args:
        trained: What a checkpoint holds; its model is put in evaluation mode and attached.
        images: Number of test images for bounds and gaps; curves take a hundred at most.
        progress: Called with the share that is done.

    Raises:
        InputError: The model is no VAE, or bounds nothing.
    """
    model, data = trained.model.eval(), trained.data
    model.attach(data.train)
    seed = derive_seed(trained.config["seed"], "inspection")
    settings = CurveSettings(data=min(images, CurveSettings().data))
    encoder = encoder_point(trained, data.test[: settings.data], seed)
    done = 0.0

    def part(name: str) -> Callable[..., None]:
        nonlocal done
        start, share = done, SHARES[name]
        done += share
        return lambda own, text="": progress(start + own * share, name)

    bounds = sandwich(model, data, SandwichSettings(data=images), seed, part("bounds"))
    y = data.test[:images]
    gaps = inference_gaps(model, y, GapSettings(), (seed, "gaps"), progress=part("gaps"))
    curve = rate_distortion(model, data, settings, seed, part("rate and distortion"))
    assert isinstance(model, VAE)
    means, scales = encoded(model, data)
    points, shares = principal(means)
    dimensions = most_informative(means, scales)
    traversals, span = traversed(model, means, dimensions)
    return Inspected(
        bounds,
        gaps,
        curve,
        encoder,
        extremes_of(model, y, gaps),
        points,
        shares,
        labels_of_test(data.task),
        traversals,
        dimensions,
        span,
    )


@torch.no_grad()
def encoded(model: VAE, data: TaskData) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of q(z|y) of every test image, (n, latent) each."""
    parts = []
    for y in data.test.split(EVALUATION_BLOCK):
        q = model.posterior(y)
        scale = q.scale if isinstance(q, DiagonalNormal) else torch.ones_like(q.loc)
        parts.append((q.loc, scale))
    loc, scale = (torch.cat(values).double() for values in zip(*parts))
    return loc, scale


def principal(means: Tensor) -> tuple[Tensor, tuple[float, float]]:
    """Return means (n, latent) on their two principal axes (n, 2), and the axes' shares of variance."""
    centred = means - means.mean(0)
    if means.shape[1] == 1:
        return torch.cat([centred, torch.zeros_like(centred)], 1), (1.0, 0.0)
    axes, shares = principal_axes(means)
    first, second = shares.tolist()
    return centred @ axes, (first, second)


def most_informative(means: Tensor, scales: Tensor) -> list[int]:
    """Return the latent dimensions whose means vary most in units of the posterior's own width."""
    signal = means.var(0, correction=0) / scales.square().mean(0)
    order = signal.argsort(descending=True, stable=True)
    return [int(place) for place in order[:TRAVERSED]]


@torch.no_grad()
def traversed(
    model: VAE, means: Tensor, dimensions: list[int]
) -> tuple[Tensor, list[tuple[float, float]]]:
    """Return E[y|z] while one dimension moves over the middle 95 % of its means, the others at theirs."""
    rows, span = [], []
    for dimension in dimensions:
        low, high = means[:, dimension].quantile(means.new_tensor([0.025, 0.975])).tolist()
        z = means.mean(0).repeat(STEPS, 1)
        z[:, dimension] = torch.linspace(low, high, STEPS, dtype=z.dtype)
        rows.append(model.decode_mean(z.float()))
        span.append((low, high))
    return torch.stack(rows), span


@torch.no_grad()
def extremes_of(model: VAE, y: Tensor, gaps: InferenceGaps) -> Extremes:
    """Return the images (of the first ones, that were measured) with the largest and smallest k̂."""
    bound, elbo = gaps.samples.bound_encoder, gaps.samples.elbo.mean(0)
    k = bound.pareto_k
    order = k.nan_to_num(nan=-1e30).argsort(descending=True, stable=True)
    count = min(SHOWN, len(order) // 2)
    chosen = torch.stack([order[:count], order.flip(0)[:count]])
    images = y[chosen]
    reconstructions = model.decode_mean(model.posterior(images.flatten(0, 1)).loc)
    gap = gaps.samples.bound.value - elbo
    return Extremes(images, k[chosen], reconstructions.view(*images.shape), gap[chosen])
