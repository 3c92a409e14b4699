"""Estimators of ELBO, surgery and samples that `bench calibrate` measures, each with its known truth."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import log
from typing import Literal

import torch
from torch import Tensor

from bench.densities.normal import DiagonalNormal, standard_normal_log_prob
from bench.estimators.estimate import Estimate, mean_estimate
from bench.estimators.samples import sharpness
from bench.estimators.surgery import ELBOSurgery
from bench.instruments.expectations import Expectation, frechet_expectation, minibatch_expectation
from bench.instruments.frechet import frechet_distance
from bench.instruments.minibatch import stratified_log_aggregate, weighted_log_aggregate
from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.noise import Noise

REPEATS = 1000
# What theory says of an estimator's bias.
Expected = Literal["unbiased", "below", "above"]
# (z, posterior of the batch, number of data) → log q_agg(z) in nats, (batch,).
AggregateEstimator = Callable[[Tensor, DiagonalNormal, int], Tensor]


@dataclass(frozen=True)
class Instrument:
    """An estimator, its known truth, and the bias that theory predicts.

    Attributes:
        name: The estimator's name.
        setting: Model and sizes.
        truth: The number that is estimated or bounded.
        estimate: Maps a repeat's number to an estimate.
        expected: The expected bias: unbiased, below or above the truth.
        population: Test the standard error for the population, not for the given data.
        repeats: Number of repeats.
        bias: The size of the expected bias, by a simulation or a series that does not use the
            estimator's code. Intervals must cover ``truth`` + ``bias``, the estimator's own expectation.
        control: Maps a repeat's number to a number of that repeat whose expectation is 0. The bias is
            measured on the estimates less it, where their own spread is larger than the bias.
    """

    name: str
    setting: str
    truth: float
    estimate: Callable[[int], Estimate]
    expected: Expected = "unbiased"
    population: bool = False
    repeats: int = REPEATS
    bias: Expectation = Expectation(0.0)
    control: Callable[[int], float] | None = None


def surgery(model: LinearGaussianVAE, x: Tensor, column: str, repeat: int) -> Estimate:
    metric = ELBOSurgery()
    metric.update(model.terms(x, Noise("surgery", repeat), 2))
    return metric.estimates()[column]


def elbo_instruments() -> Iterator[Instrument]:
    """ELBO, KL and reconstruction on the linear-Gaussian model with a mismatched q."""
    model = LinearGaussianVAE(shift=0.3, stretch=1.4)
    x = model.data(50)
    elbo = model.elbo(x).mean().item()
    kl = model.posterior(x).kl_to_standard_normal().mean().item()
    setting = "linear-Gaussian, n = 50, 2 samples"
    truths = {"elbo": elbo, "kl": kl, "reconstruction": elbo + kl}
    for column, truth in truths.items():
        yield Instrument(column, setting, truth, partial(surgery, model, x, column))
    yield Instrument(
        "elbo, error for the population",
        "linear-Gaussian, n = 50, new data each time",
        model.mean_log_evidence() - model.kl_to_posterior(),
        lambda r: mean_estimate(model.terms(model.data(50, r), Noise("new", r), 2).elbo),
        population=True,
    )


def surgery_instruments() -> Iterator[Instrument]:
    """Mutual information and marginal KL of one split; quadrature over z gives the truth."""
    model = LinearGaussianVAE(latent_dimensions=1, sigma=1.0, shift=0.5, stretch=0.8)
    x = model.data(40)
    posterior = model.posterior(x)
    grid = torch.linspace(-12, 12, 20_001, dtype=torch.float64)[:, None]
    width = 24 / 20_000
    each = DiagonalNormal(posterior.loc[:, None], posterior.log_scale[:, None]).log_prob(grid)
    aggregate = each.logsumexp(0) - log(len(x))
    entropy = -(aggregate.exp() * aggregate).sum().item() * width
    own_entropy = -(each.exp() * each).sum(1).mean().item() * width
    cross = -(aggregate.exp() * standard_normal_log_prob(grid)).sum().item() * width
    truths = {"mutual_information": entropy - own_entropy, "marginal_kl": cross - entropy}
    for column, truth in truths.items():
        yield Instrument(
            column,
            "linear-Gaussian, 1-D latent, n = 40; truth by quadrature",
            truth,
            partial(surgery, model, x, column),
        )
    for name, estimator in (
        ("weighted mini-batch", weighted_log_aggregate),
        ("stratified mini-batch", stratified_log_aggregate),
    ):
        loc, scale = posterior.loc[:, 0].numpy(), posterior.log_scale[:, 0].exp().numpy()
        expected = minibatch_expectation(loc, scale, 8, "stratified" in name)
        yield Instrument(
            f"mutual_information, {name}",
            "the same split, batches of 8",
            truths["mutual_information"],
            partial(minibatch_information, model, x, estimator),
            expected="above",
            bias=expected.less(truths["mutual_information"]),
        )


def minibatch_information(
    model: LinearGaussianVAE, x: Tensor, estimator: AggregateEstimator, repeat: int
) -> Estimate:
    """Return the mutual information that follows from log q_agg(z) of a batch of 8."""
    noise = Noise("mini-batch", repeat)
    batch = x[noise.shared_permutation(len(x))[:8]]
    posterior = model.posterior(batch)
    z = posterior.sample(noise, 1)[0]
    return mean_estimate((posterior.log_prob(z) - estimator(z, posterior, len(x)))[None])


def sample_instruments() -> Iterator[Instrument]:
    """Comparisons of two sets of images: noise dimmed to 0.8, so 0.64 of the variance, and not."""

    def pair(repeat: int) -> tuple[Tensor, Tensor]:
        noise = Noise("images", repeat)
        return 0.8 * noise.uniform(400, 64), noise.uniform(400, 64)

    def relative_sharpness(repeat: int) -> Estimate:
        estimate = sharpness(*pair(repeat), (1, 8, 8), 2)
        assert estimate is not None  # noise of 8 × 8 pixels has edges
        return estimate

    setting = "400 images of noise dimmed to 0.8, 400 undimmed"
    yield Instrument("sharpness", setting, 0.64, relative_sharpness)
    # Of U[0, 0.8] and U[0, 1]: means 0.1 apart, standard deviations 0.2 √(1/12), in 64 pixels.
    distance = 64 * (0.1**2 + 0.2**2 / 12)
    estimate = lambda r: Estimate(frechet_distance(*pair(r)), None, 400, 1)
    bias = frechet_expectation(0.8, 400, 64).less(distance)
    yield Instrument("Fréchet distance", setting, distance, estimate, expected="above", bias=bias)
