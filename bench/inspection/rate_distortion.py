"""The rate–distortion curve of a VAE's prior and decoder, all β at once (Huang et al. 2020).

Annealing from p(z) moves through p(z) exp(−β d(y, z)), where the distortion d is −log p(y|z). At every β
a chain that is chosen by its weight is a sample of some q(z|y). Its distortion is estimated without
bias, and −β d − log Ẑ_β is at least its rate KL(q ‖ p) in expectation. So
each point lies on or above the least rate at that distortion. At β = 1 rate and distortion add up to the
negative of annealing's lower bound of log p(y).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log, log1p

import torch
from torch import Tensor

from bench.data.tasks import TaskData
from bench.estimators.annealing import State
from bench.estimators.diagnostics import mean_with_error
from bench.estimators.estimate import Estimate
from bench.estimators.weights import jackknife_variance
from bench.inspection.annealer import FIRST_BETA, Annealer, annealer, schedule
from bench.inspection.blocks import LatentBlock, block_of, check_model, observed
from bench.inspection.bounds import FEWEST_CHAINS
from bench.inspection.sandwich import Report, data_device, silent
from bench.noise import EVALUATION_BLOCK, Noise
from bench.settings import check_positive

# Points of a curve, at most, of which β = 1 is always one.
POINTS = 40
# Estimates of a block of data with their variances, (batch,) each.
WithVariance = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class CurveSettings:
    """How much is annealed for a curve.

    Args:
        chains: Chains of each datum.
        temperatures: Steps from β = 0 to 1; as dense ones follow up to ``largest_beta``.
        leapfrog_steps: Steps of a trajectory at each of them.
        data: Test images, from the start of the split.
        largest_beta: The last β, at least 1.

    Raises:
        InputError: A number is not positive.
    """

    chains: int = 16
    temperatures: int = 300
    leapfrog_steps: int = 3
    data: int = 100
    largest_beta: float = 4.0

    def __post_init__(self) -> None:
        check_positive("curve", self, "chains", "temperatures", "leapfrog_steps", "data")
        check_positive("curve", self, "largest_beta")


@dataclass(frozen=True)
class CurvePoint:
    """A point of a rate–distortion curve.

    Attributes:
        beta: β; 1 is the model itself.
        rate: An upper bound of KL(q ‖ p), nats per datum.
        distortion: −log p(y|z) under that q, nats per datum.
    """

    beta: float
    rate: Estimate
    distortion: Estimate


def model_point(curve: Sequence[CurvePoint]) -> CurvePoint:
    """Return the point of the model itself, β = 1, which every curve has."""
    return next(point for point in curve if point.beta == 1)


def rate_distortion(
    model: object,
    data: TaskData,
    settings: CurveSettings = CurveSettings(),
    seed: int = 1,
    progress: Report = silent,
) -> list[CurvePoint]:
    """Return the rate–distortion curve of a trained VAE on test images, by ascending β.

    Of a density of dequantized data, the distortion is that of y + u, one u for each image. Under a prior
    of tens of thousands of components, each of which has to be summed, this takes thirty times as long.

    Args:
        model: A VAE in evaluation mode, attached to the task's training images.
        data: The task's images.
        settings: How much is annealed.
        seed: Noise is a function of (seed, purpose, block of a hundred data) alone.
        progress: Called with the share that is done.

    Raises:
        InputError: The model is no VAE, in training mode, or bounds nothing.
    """
    model = check_model(model)
    noise = lambda *key: Noise(seed, "rate-distortion", *key, device=data_device(model))
    progress(0.0, "step sizes")
    betas = betas_to(settings)
    y = data.validation[:EVALUATION_BLOCK].to(data_device(model))
    seen = observed(model, y, noise("validation"))
    block = lambda start: block_of(model, seen, start, noise("components"))
    chosen = annealer(block, ("prior",), lambda start: betas, settings.leapfrog_steps, noise)
    n = min(settings.data, len(data.test))
    starts = range(0, n, EVALUATION_BLOCK)
    parts = []
    for number, start in enumerate(starts):
        y = data.test[start : start + EVALUATION_BLOCK].to(data_device(model))
        seen = observed(model, y, noise("dequantization", number))
        report = lambda share, number=number: progress((number + share) / len(starts), "curve")
        parts.append(
            curve_of_block(
                block_of(model, seen, "prior", noise("components", number)),
                chosen,
                settings.chains,
                noise("chains", number),
                report,
            )
        )
    joined = [torch.cat(fields, 1)[:, :n] for fields in zip(*parts)]
    return points_of([betas[place] for place in places_of(betas)], joined, settings.chains)


def betas_to(settings: CurveSettings) -> list[float]:
    """Return the schedule from 0 over 1 to the largest β, with steps that grow as they do up to 1."""
    step = log1p(1 / FIRST_BETA) / settings.temperatures
    count = max(settings.temperatures, ceil(log1p(settings.largest_beta / FIRST_BETA) / step))
    largest = torch.tensor(step * count).expm1().item() * FIRST_BETA
    betas = schedule("prior", count, largest)
    betas[settings.temperatures] = 1.0  # to the last bit
    return betas


def places_of(betas: list[float]) -> list[int]:
    """Return the places of the curve's points among β_1 … β_T, of which β = 1 is one."""
    steps = len(betas) - 1
    model = betas.index(1.0)
    every = ceil(steps / POINTS)
    return [place for place in range(1, steps + 1) if (place - model) % every == 0]


def curve_of_block(
    block: LatentBlock,
    chosen: Annealer,
    chains: int,
    noise: Noise,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return rates, their variances, distortions and theirs, float64 (points, batch) each, in nats."""
    places = places_of(chosen.betas)
    rates: list[WithVariance] = []
    distortions: list[WithVariance] = []

    def observe(number: int, log_weights: Tensor, state: State) -> None:
        progress((number + 1) / len(chosen.sizes))
        if number + 1 in places:
            beta = chosen.betas[number + 1]
            # On a path from the prior the ends differ by log p(y|z).
            rate, distortion = rate_and_distortion(beta, log_weights, -state.difference)
            rates.append(rate)
            distortions.append(distortion)

    chosen.below(block, chains, noise, observe)
    fields = [*zip(*rates), *zip(*distortions)]
    rate, rate_variance, distortion, distortion_variance = (torch.stack(f) for f in fields)
    return rate, rate_variance, distortion, distortion_variance


def rate_and_distortion(
    beta: float, log_weights: Tensor, distortions: Tensor
) -> tuple[WithVariance, WithVariance]:
    """Return each datum's rate and distortion in nats, with their jackknife variances, (batch,) each.

    Args:
        beta: β.
        log_weights: Log-weights of the chains at β, float64 (chains, batch).
        distortions: d(y, z) of the chains, float64 (chains, batch).
    """
    rate, distortion = of_weights(beta, log_weights, distortions)
    if len(log_weights) == 1:
        unknown = torch.full_like(rate, torch.nan)
        return (rate, unknown), (distortion, unknown)
    own = torch.eye(len(log_weights), dtype=torch.bool, device=log_weights.device)[..., None]
    others = log_weights[:, None].masked_fill(own, -torch.inf)
    rates, means = of_weights(beta, others, distortions[:, None], len(log_weights) - 1)
    return (rate, jackknife_variance(rates)), (distortion, jackknife_variance(means))


def of_weights(
    beta: float, log_weights: Tensor, distortions: Tensor, chains: int = 0
) -> tuple[Tensor, Tensor]:
    """Return −β d − log Ẑ and d, the weighted mean of distortions, over the first dimension.

    ``chains`` is the number of weights above 0, where that is not all.
    """
    total = log_weights.logsumexp(0)
    distortion = ((log_weights - total).exp() * distortions).sum(0)
    return log(chains or len(log_weights)) - total - beta * distortion, distortion


def points_of(betas: list[float], fields: list[Tensor], chains: int) -> list[CurvePoint]:
    """Return the means over data of a curve's fields, each (points, n)."""
    known = chains >= FEWEST_CHAINS
    return [
        CurvePoint(
            beta,
            mean_with_error(rate, rate_variance, chains, known),
            mean_with_error(distortion, distortion_variance, chains, known),
        )
        for beta, rate, rate_variance, distortion, distortion_variance in zip(betas, *fields)
    ]
