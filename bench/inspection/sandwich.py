"""A sandwich of log p(y): annealing from below, and in reverse from above where that is possible.

Reverse annealing needs exact samples of the posterior. Of data that the model itself drew there is one:
the z that the data was drawn with. So both bounds, and their difference, are of simulated data (Grosse,
Ghahramani & Adams 2015, section 3.3; Wu et al. 2017, section 4). On real data there is a lower bound,
and two upper figures that are no bounds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from bench.data.tasks import TaskData
from bench.estimators.annealing import upper_bound
from bench.estimators.diagnostics import bound_estimates, joined
from bench.estimators.estimate import Estimate, mean_estimate
from bench.estimators.weights import WeightedBound, log_mean_exp, weighted_bound
from bench.inspection.annealer import Annealer, annealer, schedule
from bench.inspection.blocks import (
    Start,
    block_of,
    check_model,
    observed,
    simulated,
)
from bench.inspection.bounds import (
    annealed_estimate,
    importance_weights,
    of_exact_samples,
    sandwich_estimates,
)
from bench.models.vae import VAE
from bench.noise import EVALUATION_BLOCK, Noise
from bench.settings import check_positive

STARTS: tuple[Start, ...] = ("posterior", "prior")
# (share done in [0, 1], text).
Report = Callable[[float, str], None]


def silent(share: float, text: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class SandwichSettings:
    """How much is annealed.

    Args:
        chains: Chains of each datum.
        temperatures: Steps in β.
        leapfrog_steps: Steps of a trajectory at each of them.
        data: Test images, from the start of the split, and as many simulated ones.
        importance_samples: K of L_K and of CUBO on the same test images.
        start: Where chains start; tighter takes what gives the higher bound on validation images.

    Raises:
        InputError: A number is not positive.
    """

    chains: int = 16
    temperatures: int = 100
    leapfrog_steps: int = 3
    data: int = 1000
    importance_samples: int = 5000
    start: Start | Literal["tighter"] = "tighter"

    def __post_init__(self) -> None:
        check_positive("sandwich", self, "chains", "temperatures", "leapfrog_steps", "data")
        check_positive("sandwich", self, "importance_samples")


@dataclass(frozen=True)
class Sandwich:
    """Bounds of log p(y) from both sides, in nats; for a density of dequantized data log p(y + u).

    Attributes:
        start: Where chains start.
        settings: How much was annealed.
        log_likelihood_lower: Simulated data: a lower bound in expectation.
        log_likelihood_upper: Simulated data: an upper bound in expectation.
        sandwich_gap: Simulated data: their difference.
        log_likelihood_annealed: Test images: a lower bound in expectation.
        log_likelihood_importance: Test images: L_K, another one.
        upper_heuristic_chain: Test images: reverse annealing from long chains. Not a bound.
        upper_heuristic_cubo: Test images: CUBO_2 from the draws of L_K. Not a bound.
    """

    start: Start
    settings: SandwichSettings
    log_likelihood_lower: Estimate
    log_likelihood_upper: Estimate
    sandwich_gap: Estimate
    log_likelihood_annealed: Estimate
    log_likelihood_importance: Estimate
    upper_heuristic_chain: Estimate
    upper_heuristic_cubo: Estimate

    @property
    def columns(self) -> dict[str, Estimate]:
        """{column: estimate}."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Estimate)}


class BlockBounds(NamedTuple):
    """What is known of a block: bounds of simulated data and of as many test images, (batch,) each.

    Attributes:
        lower, upper: Of simulated data.
        annealed, importance: Lower bounds of test images: annealing, L_K.
        chain, cubo: Upper figures of test images that are no bounds.
    """

    lower: WeightedBound
    upper: WeightedBound
    annealed: WeightedBound
    importance: WeightedBound
    chain: Tensor
    cubo: Tensor


def first_of(blocks: list[BlockBounds], n: int) -> BlockBounds:
    """Return what is known of the first n data of all blocks."""
    bound = lambda name: WeightedBound(
        *(field[:n] for field in joined([getattr(block, name) for block in blocks]))
    )
    figure = lambda name: torch.cat([getattr(block, name) for block in blocks])[:n]
    return BlockBounds(
        bound("lower"),
        bound("upper"),
        bound("annealed"),
        bound("importance"),
        figure("chain"),
        figure("cubo"),
    )


def sandwich(
    model: object,
    data: TaskData,
    settings: SandwichSettings = SandwichSettings(),
    seed: int = 1,
    progress: Report = silent,
) -> Sandwich:
    """Bound log p(y) of a trained VAE from both sides.

    Step sizes are tuned on the first hundred validation images and then fixed. Noise is a function of
    (seed, purpose, block of a hundred data) alone.

    Args:
        model: A VAE in evaluation mode, attached to the task's training images.
        data: The task's images.
        settings: How much is annealed.
        seed: Noise is a function of it.
        progress: Called with the share that is done.

    Raises:
        InputError: The model is no VAE, in training mode, or bounds nothing.
    """
    model = check_model(model)
    noise = lambda *key: Noise(seed, "sandwich", *key, device=data_device(model))
    progress(0.0, "step sizes")
    chosen = tuned(model, data, settings, noise)
    n = min(settings.data, len(data.test))
    starts = range(0, n, EVALUATION_BLOCK)
    blocks = []
    for number, start in enumerate(starts):
        # The whole block is annealed, also if only a part of the last counts: noise belongs to a datum.
        y = data.test[start : start + EVALUATION_BLOCK].to(data_device(model))
        report = lambda share, text, number=number: progress((number + share) / len(starts), text)
        blocks.append(of_block(model, y, chosen, settings, partial(noise, number), report))
    return estimates_of(first_of(blocks, n), chosen.start, settings)


def data_device(model: VAE) -> torch.device:
    """Return the device on which a model computes."""
    return next((weight.device for weight in model.parameters()), torch.device("cpu"))


def tuned(
    model: VAE, data: TaskData, settings: SandwichSettings, noise: Callable[..., Noise]
) -> Annealer:
    """Return step sizes, and a start, that suit validation images."""
    y = data.validation[:EVALUATION_BLOCK].to(data_device(model))
    seen = observed(model, y, noise("validation"))
    return annealer(
        lambda start: block_of(model, seen, start, noise("validation components")),
        STARTS if settings.start == "tighter" else (settings.start,),
        lambda start: schedule(start, settings.temperatures),
        settings.leapfrog_steps,
        noise,
    )


# Each parameter is a part of the calculation that has no meaning apart.
def of_block(
    model: VAE,
    y: Tensor,
    chosen: Annealer,
    settings: SandwichSettings,
    noise: Callable[[str], Noise],
    progress: Report,
) -> BlockBounds:
    """Return what is known of a block of test images (batch, D), and of as many simulated data."""
    progress(0.0, "simulated data")
    z, drawn = simulated(model, len(y), noise("simulated"))
    own = block_of(model, drawn, chosen.start, noise("simulated components"))
    lower, upper = of_exact_samples(own, z, chosen, settings.chains, noise)
    progress(0.4, "test images")
    seen = observed(model, y, noise("dequantization"))
    block = block_of(model, seen, chosen.start, noise("components"))
    below, state = chosen.below(block, settings.chains, noise("below"))
    # A falling chain starts at the end of a rising one that its weight has chosen, after more moves.
    generator = noise("choice").generator
    chosen_chains = torch.multinomial(
        below.softmax(0).T.cpu(), len(below), replacement=True, generator=generator
    )
    place = chosen_chains.T.to(y.device)[..., None].expand_as(state.z)
    z = chosen.moved(block, state.z.gather(0, place), noise("chain"))
    chain = upper_bound(chosen.above(block, z, noise("above")))
    progress(0.9, "importance weights")
    weights = importance_weights(block, settings.importance_samples, noise("importance"))
    cubo = 0.5 * log_mean_exp(2 * weights)
    return BlockBounds(
        lower, upper, weighted_bound(below), weighted_bound(weights), chain.value, cubo
    )


def estimates_of(found: BlockBounds, start: Start, settings: SandwichSettings) -> Sandwich:
    chains, samples = settings.chains, settings.importance_samples
    lower, upper, gap = sandwich_estimates(found.lower, found.upper, chains)
    figure = lambda values, count: mean_estimate(values[None])._replace(samples=count)
    return Sandwich(
        start=start,
        settings=settings,
        log_likelihood_lower=lower,
        log_likelihood_upper=upper,
        sandwich_gap=gap,
        log_likelihood_annealed=annealed_estimate(found.annealed, chains),
        log_likelihood_importance=bound_estimates(found.importance, samples)["log_likelihood"],
        upper_heuristic_chain=figure(found.chain, chains),
        upper_heuristic_cubo=figure(found.cubo, samples),
    )
