"""Annealed bounds of a block of data, and their means over data with errors."""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.estimators.annealing import upper_bound
from bench.estimators.diagnostics import FEWEST_EFFECTIVE_DATA, effective_data, mean_with_error
from bench.estimators.estimate import Estimate
from bench.estimators.weights import WeightedBound, weighted_bound
from bench.inspection.annealer import Annealer
from bench.inspection.blocks import LatentBlock
from bench.noise import Noise

# Of fewer chains the jackknife's variance is too small.
FEWEST_CHAINS = 10
# Draws of q(z|y) that are decoded at once.
DRAWS_AT_ONCE = 10


def of_exact_samples(
    block: LatentBlock, z: Tensor, chosen: Annealer, chains: int, noise: Callable[[str], Noise]
) -> tuple[WeightedBound, WeightedBound]:
    """Return bounds of log p(y) from below and from above, for data drawn with z (batch, latent)."""
    below, _ = chosen.below(block, chains, noise("simulated, below"))
    exact = z.expand(chains, *z.shape).contiguous()
    return weighted_bound(below), upper_bound(chosen.above(block, exact, noise("simulated, above")))


@torch.no_grad()
def importance_weights(block: LatentBlock, samples: int, noise: Noise) -> Tensor:
    """Return log p(y|z) p(z) / q(z|y) of draws of q(z|y), float64 (samples, batch)."""
    parts = []
    for start in range(0, samples, DRAWS_AT_ONCE):
        z = block.posterior.sample(noise, min(DRAWS_AT_ONCE, samples - start))
        likelihood, prior = block.log_likelihood_of(z), block.prior.log_prob(z)
        parts.append(likelihood.double() + prior.double() - block.posterior.log_prob(z).double())
    return torch.cat(parts)


def sandwich_estimates(
    lower: WeightedBound, upper: WeightedBound, chains: int
) -> tuple[Estimate, Estimate, Estimate]:
    """Return the means over data of both bounds and of their difference, with their errors."""
    known = all(error_is_known(bound, chains) for bound in (lower, upper))
    variance = lower.variance + upper.variance
    gap = mean_with_error(upper.value - lower.value, variance, chains, known)
    return annealed_estimate(lower, chains), annealed_estimate(upper, chains), gap


def annealed_estimate(bound: WeightedBound, chains: int) -> Estimate:
    """Return the mean over data of an annealed bound, with its error where that is known."""
    return mean_with_error(bound.value, bound.variance, chains, error_is_known(bound, chains))


def error_is_known(bound: WeightedBound, chains: int) -> bool:
    """Tell whether the jackknife's error of the mean over data of an annealed bound is to be trusted.

    It is not of fewer than 10 chains. Where some data have an effective number of chains below half of
    all, it is only if no few of these data make most of the variance, as for L_K.
    """
    if chains < FEWEST_CHAINS:
        return False
    is_heavy = bound.effective_sample_size < chains / 2
    if not is_heavy.any():
        return True
    return effective_data(bound.variance, is_heavy) >= FEWEST_EFFECTIVE_DATA
