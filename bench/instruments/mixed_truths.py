"""L_K of images of which a few are outliers, whose evidence `bench calibrate` knows in closed form."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bench.estimators.diagnostics import bound_estimates
from bench.estimators.estimate import Estimate
from bench.estimators.evidence import diagnosed_bound
from bench.instruments.evidence_truths import HARD_REPEATS
from bench.instruments.expectations import Expectation, Numbers, expected_bound
from bench.instruments.known_truths import Instrument
from bench.models.terms import Terms
from bench.noise import Noise

# {standard deviation of an image's log-weights: number of such images}.
Mixture = dict[float, int]
MIXTURES: tuple[Mixture, ...] = (
    {1.5: 299, 20.0: 1},
    {2.0: 150, 12.0: 3},
    {1.0: 1000, 5.0: 30},
    {2.0: 200, 5.0: 20},
    {0.5: 100, 1.0: 100, 2.0: 100, 3.0: 50, 5.0: 30, 8.0: 20},
)
SAMPLES, SIMULATIONS = 100, 20_000


class NormalLogWeights:
    """A model whose log-weights are N(0, s²), s being the datum: log P(y) is s²/2."""

    bound = "upper"

    def terms(self, y: Tensor, noise: Noise, samples: int = 1) -> Terms:
        """Return the terms of `bench.models.terms.Model` for standard deviations y (n, 1)."""
        return Terms(reconstruction=y[:, 0] * noise.normal(samples, len(y), 1)[..., 0].double())


def mixed_instruments() -> Iterator[Instrument]:
    """L_K of many mild images and a few outlying ones, which may make most of the error."""
    model = NormalLogWeights()
    for mixture in MIXTURES:
        scales = [scale for scale, count in mixture.items() for _ in range(count)]
        y = torch.tensor(scales, dtype=torch.float64)[:, None]
        words = ", ".join(f"{count} of {scale:g}" for scale, count in mixture.items())
        yield Instrument(
            "L_K",
            f"normal log-weights, images by standard deviation: {words}; K = {SAMPLES}",
            y.square().mean().item() / 2,
            partial(mixed_mean, model, y),
            expected="below",
            repeats=HARD_REPEATS,
            bias=mixed_bias(mixture),
        )


def mixed_mean(model: NormalLogWeights, y: Tensor, repeat: int) -> Estimate:
    """Return L_K of standard deviations y (n, 1), with its error as a run reports it."""
    bound = diagnosed_bound(model, y, SAMPLES, "mixed", repeat)
    return bound_estimates(bound, SAMPLES)["log_likelihood"]


def mixed_bias(mixture: Mixture) -> Expectation:
    """Return the expectation of the mean of L_K less that of s²/2, each scale simulated by itself."""
    total = sum(mixture.values())
    value = variance = 0.0
    for number, (scale, count) in enumerate(mixture.items()):
        own = expected_bound(partial(normal_log_weights, scale), SIMULATIONS, number).bound
        value += count / total * (own.value - scale**2 / 2)
        variance += (count / total * own.stderr) ** 2
    return Expectation(value, variance**0.5)


def normal_log_weights(scale: float, generator: np.random.Generator, repeats: int) -> Numbers:
    return scale * generator.standard_normal((repeats, SAMPLES))
