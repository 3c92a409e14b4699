"""Distributions of a VAE over bins of z and over levels of y, as cumulative probabilities.

They are computed in float64 from what the networks return in float32.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy.special import expit, ndtr, ndtri, softmax
from torch import Tensor

from bench.densities.decoders import Bernoulli, Categorical, Decoder
from bench.densities.discretized import DiscretizedDecoder
from bench.densities.normal import NormalMixture
from bench.densities.priors import Density, StandardNormalDensity
from bench.errors import InputError
from bench.instruments.bits_back.stack import (
    BitStack,
    CumulativeFunction,
    Floats,
    Symbols,
    pop_in_halves,
    push_in_halves,
)

CODED_DECODERS = (Bernoulli, Categorical, DiscretizedDecoder)


def doubled(values: Tensor) -> Floats:
    """Return a tensor in float64, on the CPU."""
    result: Floats = values.detach().double().cpu().numpy()
    return result


@dataclass(frozen=True)
class LatentBins:
    """2^bits bins of each dimension of z, of equal mass under N(loc, scale²).

    Townsend et al. 2019, section 2.5.1 (maximum entropy discretization). Equal masses cost the same
    number of bits each under that normal distribution.

    Attributes:
        loc: Mean of the normal distribution that they are equal under, (latent,).
        scale: Its standard deviation, (latent,).
        bits: Logarithm of their number.
    """

    loc: Floats
    scale: Floats
    bits: int

    def below(self, loc: Floats, scale: Floats) -> CumulativeFunction:
        """Return the mass of N(loc, scale²) below edges of bins, for loc and scale (latent,)."""

        def mass(edges: Symbols) -> Floats:
            z = self._quantile(edges / 2**self.bits)
            result: Floats = ndtr((z - loc[:, None]) / scale[:, None])
            return result

        return mass

    def medians(self, index: Symbols) -> Floats:
        """Return z (latent,) for bins (latent,): what stands for all of a bin."""
        return self._quantile((index[:, None] + 0.5) / 2**self.bits)[:, 0]

    def _quantile(self, probability: Floats) -> Floats:
        return self.loc[:, None] + self.scale[:, None] * ndtri(probability)


class PriorCode(Protocol):
    """Codes of bins under a prior."""

    bins: LatentBins

    def push(self, stack: BitStack, index: Symbols) -> None:
        """Push bins (latent,)."""

    def pop(self, stack: BitStack) -> Symbols:
        """Pop bins (latent,)."""


class StandardNormalCode:
    """Bins under N(0, I): they are of equal mass, so each dimension takes exactly ``bits`` bits."""

    def __init__(self, latent_dimensions: int, bits: int):
        self.bins = LatentBins(np.zeros(latent_dimensions), np.ones(latent_dimensions), bits)

    def push(self, stack: BitStack, index: Symbols) -> None:
        stack.push_uniform(index, self.bins.bits)

    def pop(self, stack: BitStack) -> Symbols:
        return stack.pop_uniform(len(self.bins.loc), self.bins.bits)


class MixtureCode:
    """Bins under a mixture of diagonal normals, by bits back for the component too.

    A mixture's dimensions depend on each other, so bins are coded given a component k. It is popped
    from p(k|z), and pushed under its weight: in all −log p(k, z) + log p(k|z) = −log p(z), whatever k.
    Bins are of equal mass under the normal distribution with the mixture's mean and variance.
    """

    def __init__(self, mixture: NormalMixture, bits: int):
        self.loc, self.log_scale = (
            doubled(part) for part in (mixture.components.loc, mixture.components.log_scale)
        )
        self.log_weights = doubled(mixture.log_weights)
        probability = softmax(self.log_weights)[:, None]
        self.weights = running_sums(probability.T)
        mean = (probability * self.loc).sum(0)
        square = (probability * (np.exp(2 * self.log_scale) + self.loc**2)).sum(0)
        self.bins = LatentBins(mean, np.sqrt(square - mean**2), bits)

    def push(self, stack: BitStack, index: Symbols) -> None:
        component = stack.pop(self._components_given(index))
        push_in_halves(stack, index, self._below(component), self.bins.bits)
        stack.push(component, self.weights)

    def pop(self, stack: BitStack) -> Symbols:
        component = stack.pop(self.weights)
        index = pop_in_halves(stack, len(self.bins.loc), self._below(component), self.bins.bits)
        stack.push(component, self._components_given(index))
        return index

    def _below(self, component: Symbols) -> CumulativeFunction:
        k = component[0]
        return self.bins.below(self.loc[k], np.exp(self.log_scale[k]))

    def _components_given(self, index: Symbols) -> Floats:
        """Return the cumulative p(k|z), (1, components + 1)."""
        standardized = (self.bins.medians(index) - self.loc) * np.exp(-self.log_scale)
        log_joint = self.log_weights - (0.5 * standardized**2 + self.log_scale).sum(1)
        return running_sums(softmax(log_joint)[None])


def running_sums(probabilities: Floats) -> Floats:
    """Return cumulative probabilities (rows, n + 1) of probabilities (rows, n)."""
    return np.pad(probabilities.cumsum(1), ((0, 0), (1, 0)))


def prior_code(prior: Density, latent_dimensions: int, bits: int) -> PriorCode:
    """Return the code of a prior. Raises InputError if there is none."""
    if isinstance(prior, StandardNormalDensity):
        return StandardNormalCode(latent_dimensions, bits)
    if isinstance(prior, NormalMixture):
        return MixtureCode(prior, bits)
    raise InputError(
        f"bits-back: {type(prior).__name__} has no code: bins of z are coded by a prior with "
        "independent dimensions, or a mixture of such"
    )


def pixel_probabilities(decoder: Decoder, outputs: Tensor, levels: int) -> CumulativeFunction:
    """Return P(pixel < level | z) for levels (D, columns), given outputs for one z.

    Args:
        decoder: One of ``CODED_DECODERS``.
        outputs: What the decoder network returns, (outputs_per_dimension, D).
        levels: Number of values that a pixel takes. Higher levels have no probability.
    """
    if isinstance(decoder, DiscretizedDecoder):
        loc, log_scale = (doubled(part) for part in decoder.location_and_log_scale(outputs))
        precision = np.broadcast_to(np.exp(-log_scale), loc.shape)

        def below(edges: Symbols) -> Floats:
            x = (edges / levels - loc[:, None]) * precision[:, None]
            mass = decoder.standardized_cdf(torch.from_numpy(x)).numpy()
            return np.where(edges <= 0, 0, np.where(edges >= levels, 1, mass))

        return below
    if isinstance(decoder, Bernoulli):
        table = np.stack([np.zeros(outputs.shape[-1]), expit(-doubled(outputs[0]))], 1)
    else:
        table = running_sums(softmax(doubled(outputs).T, axis=1))[:, :-1]
    whole = np.append(table, np.ones((len(table), 1)), axis=1)
    return lambda edges: np.take_along_axis(whole, np.minimum(edges, levels), axis=1)
