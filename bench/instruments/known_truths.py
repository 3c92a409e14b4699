"""The estimators that `bench calibrate` measures, each with its known truth."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from math import log
from typing import Literal

import torch
from torch import Tensor

from bench.densities.decoders import Bernoulli
from bench.densities.normal import DiagonalNormal, standard_normal_log_prob
from bench.estimators.estimate import Estimate, MeanEstimate, mean_estimate
from bench.estimators.evidence import importance_weighted_bound, naive_evidence
from bench.estimators.samples import sharpness
from bench.estimators.surgery import ELBOSurgery
from bench.instruments.annealing import annealed_importance_sampling
from bench.instruments.frechet import frechet_distance
from bench.instruments.minibatch import stratified_log_aggregate, weighted_log_aggregate
from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.models.vae import VAE
from bench.networks.mlp import MLP
from bench.noise import Noise

REPEATS = 1000
# What theory says of an estimator's bias.
Expected = Literal["unbiased", "below", "above"]
# (model, data, samples, noise key) → estimates of log p(y) in nats and their variances, (batch,).
EvidenceEstimator = Callable[..., tuple[Tensor, Tensor]]
# (z, posterior of the batch, number of data) → log q_agg(z) in nats, (batch,).
AggregateEstimator = Callable[[Tensor, DiagonalNormal, int], Tensor]


@dataclass(frozen=True)
class Instrument:
    """An estimator, its known truth, and the bias that theory predicts.

    Attributes:
        name: The estimator's name.
        setting: Model and sizes.
        truth: The number that is estimated.
        estimate: Maps a repeat's number to an estimate.
        expected: The expected bias: unbiased, below or above the truth.
        population: Test the standard error for the population, not for the given data.
        repeats: Number of repeats.
    """

    name: str
    setting: str
    truth: float
    estimate: Callable[[int], Estimate]
    expected: Expected = "unbiased"
    population: bool = False
    repeats: int = REPEATS


def mean_over_data(values: Tensor, variances: Tensor, samples: int) -> Estimate:
    """Return the mean of one estimate for each datum (batch,), given their variances (batch,)."""
    metric = MeanEstimate()
    metric.update(values, variances, samples)
    return metric.estimate()


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
        yield Instrument(
            f"mutual_information, {name}",
            "the same split, batches of 8",
            truths["mutual_information"],
            partial(minibatch_information, model, x, estimator),
            expected="above",
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


def evidence(
    estimator: EvidenceEstimator,
    model: LinearGaussianVAE | VAE,
    y: Tensor,
    samples: int,
    noise_key: str,
    repeat: int,
) -> Estimate:
    """Return an estimate of the mean log-evidence of y (batch, D) from K = ``samples`` draws."""
    values, variances = estimator(model, y, samples, noise_key, repeat)
    return mean_over_data(values, variances, samples)


def evidence_instruments() -> Iterator[Instrument]:
    """Estimators of log p(x), below it in expectation, and of p(x), unbiased."""
    model = LinearGaussianVAE(shift=0.3, stretch=1.4)
    x = model.data(20)
    log_evidence = model.log_evidence(x)
    truth = log_evidence.mean().item()
    setting = "linear-Gaussian, n = 20"
    estimators: tuple[tuple[str, EvidenceEstimator, str], ...] = (
        ("L_K", importance_weighted_bound, "L_K"),
        ("naive Monte-Carlo", naive_evidence, "naive"),
    )
    for samples in (10, 100):
        for name, estimator, noise_key in estimators:
            yield Instrument(
                name,
                f"{setting}, K = {samples}",
                truth,
                partial(evidence, estimator, model, x, samples, noise_key),
                expected="below",
            )
    yield Instrument(
        "L_K",
        f"{setting}, K = 5000",
        truth,
        partial(evidence, importance_weighted_bound, model, x, 5000, "large"),
        repeats=500,
    )
    yield Instrument(
        "evidence, importance weighted",
        f"{setting}, K = 200; p(x) over its true value",
        1.0,
        lambda r: mean_estimate((model.terms(x, Noise("ratio", r), 200).elbo - log_evidence).exp()),
    )
    yield Instrument(
        "annealed importance sampling",
        f"{setting}, 20 temperatures, 20 chains",
        truth,
        partial(annealed, model, x),
        expected="below",
        repeats=500,
    )


def annealed(model: LinearGaussianVAE, x: Tensor, repeat: int) -> Estimate:
    start = Noise("start", repeat).normal(40, len(x), model.weight.shape[1]).double()
    joint = lambda z: standard_normal_log_prob(z) + model.log_likelihood(z, x)
    values, variances = annealed_importance_sampling(
        standard_normal_log_prob, joint, start, 20, repeat
    )
    return mean_over_data(values, variances, 20)


def toy_vae() -> VAE:
    """Return an untrained Bernoulli VAE over four binary pixels with two latent dimensions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = lambda inputs, outputs: MLP(inputs, outputs, widths=[16])
        model = VAE((1, 2, 2), 2, 2, network, network, Bernoulli).eval()
        # The decoder depends on z; the encoder stays near the prior and so covers the posterior.
        for parameter in model.decoder_network.parameters():
            torch.nn.init.normal_(parameter, std=0.7)
    return model


def toy_images() -> Tensor:
    """Return all sixteen images of four binary pixels."""
    return torch.cartesian_prod(*[torch.arange(2)] * 4).to(torch.uint8)


@torch.no_grad()
def toy_evidence(model: VAE) -> Tensor:
    """Return log P(y) of all sixteen images, by quadrature over the plane of z."""
    side = torch.linspace(-8, 8, 321, dtype=torch.float64)
    z = torch.cartesian_prod(side, side)
    outputs = deepcopy(model).double().decode(z)[:, None]
    likelihood = model.decoder.log_prob(outputs, toy_images(), Noise(0))
    weights = standard_normal_log_prob(z) + 2 * log(16 / 320)
    return (likelihood + weights[:, None]).logsumexp(0)


def toy_instruments() -> Iterator[Instrument]:
    """A VAE over sixteen images: the evidence is known and the probability masses sum to 1."""
    model, images = toy_vae(), toy_images()
    log_evidence = toy_evidence(model)
    truth = log_evidence.mean().item()
    setting = "Bernoulli VAE on all 16 images of 4 pixels; truth by quadrature"

    @torch.no_grad()
    def ratio(repeat: int) -> Estimate:
        log_weights = model.terms(images, Noise("toy", repeat), 200).elbo
        return mean_estimate((log_weights - log_evidence).exp())

    yield Instrument("evidence, importance weighted", f"{setting}, K = 200", 1.0, ratio)
    estimators: tuple[tuple[str, EvidenceEstimator], ...] = (
        ("L_K", importance_weighted_bound),
        ("naive Monte-Carlo", naive_evidence),
    )
    for name, estimator in estimators:
        yield Instrument(
            name,
            f"{setting}, K = 50",
            truth,
            partial(evidence, estimator, model, images, 50, "toy"),
            expected="below",
        )


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
    yield Instrument("Fréchet distance", setting, distance, estimate, expected="above")
