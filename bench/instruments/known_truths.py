"""The estimators that `bench calibrate` measures, and the known truth that each is held against."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from bench.densities.decoders import Bernoulli
from bench.densities.normal import DiagonalNormal, standard_normal_log_prob
from bench.estimators.estimate import Estimate, MeanEstimate, mean_estimate
from bench.estimators.evidence import importance_weighted_bound, naive_evidence
from bench.estimators.samples import sharpness
from bench.estimators.surgery import ELBOSurgery
from bench.instruments.annealing import annealed_importance_sampling
from bench.instruments.features import frechet_distance
from bench.instruments.minibatch import stratified_log_aggregate, weighted_log_aggregate
from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.models.vae import VAE
from bench.networks.mlp import MLP
from bench.noise import Noise

REPEATS = 1000


@dataclass(frozen=True)
class Instrument:
    """An estimator, the truth it is held against, and what is expected of it.

    Attributes:
        name: The estimator's name.
        setting: Model and sizes.
        truth: The number that is estimated.
        estimate: Maps a repeat's number to an estimate.
        expected: unbiased, below or above.
        population: Judge the error for the population, not for the given data.
        repeats: How often it is repeated.
    """

    name: str
    setting: str
    truth: float
    estimate: Callable[[int], Estimate]
    expected: str = "unbiased"
    population: bool = False
    repeats: int = REPEATS


def of_blocks(values: Tensor, variances: Tensor, samples: int) -> Estimate:
    metric = MeanEstimate()
    metric.samples = samples
    metric.update(values, variances)
    return metric.compute()


def surgery(model: LinearGaussianVAE, x: Tensor, repeat: int, column: str) -> Estimate:
    metric = ELBOSurgery()
    metric.update(model.terms(x, Noise("surgery", repeat), 2))
    return metric.compute()[column]


def elbo_instruments() -> Iterator[Instrument]:
    """ELBO, KL and reconstruction on the linear-Gaussian model with a mismatched q."""
    model = LinearGaussianVAE(shift=0.3, stretch=1.4)
    x = model.data(50)
    elbo = model.elbo(x).mean().item()
    kl = model.posterior(x).kl_to_standard_normal().mean().item()
    setting = "linear-Gaussian, n = 50, 2 samples"
    truths = {"elbo": elbo, "kl": kl, "reconstruction": elbo + kl}
    for column, truth in truths.items():
        yield Instrument(
            column, setting, truth, lambda r, column=column: surgery(model, x, r, column)
        )
    yield Instrument(
        "elbo, error for the population",
        "linear-Gaussian, n = 50, new data each time",
        model.mean_log_evidence() - model.kl_to_posterior(),
        lambda r: mean_estimate(model.terms(model.data(50, r), Noise("new", r), 2).elbo),
        population=True,
    )


def surgery_instruments() -> Iterator[Instrument]:
    """Mutual information and marginal KL of one split, whose truth is a quadrature over z."""
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
            lambda r, column=column: surgery(model, x, r, column),
        )
    information = truths["mutual_information"]
    for name, estimator in (
        ("weighted mini-batch", weighted_log_aggregate),
        ("stratified mini-batch", stratified_log_aggregate),
    ):
        yield Instrument(
            f"mutual_information, {name}",
            "the same split, batches of 8",
            information,
            lambda r, estimator=estimator: minibatch_information(model, x, estimator, r),
            expected="above",
        )


def minibatch_information(model, x: Tensor, estimator, repeat: int) -> Estimate:
    noise = Noise("mini-batch", repeat)
    batch = x[noise.shared_permutation(len(x))[:8]]
    posterior = model.posterior(batch)
    z = posterior.sample(noise, 1)[0]
    return mean_estimate((posterior.log_prob(z) - estimator(z, posterior, len(x)))[None])


def evidence_instruments() -> Iterator[Instrument]:
    """Estimates of log p(x), below it in expectation, and of p(x), unbiased."""
    model = LinearGaussianVAE(shift=0.3, stretch=1.4)
    x = model.data(20)
    truth, evidence = model.log_evidence(x).mean().item(), model.log_evidence(x)
    setting = "linear-Gaussian, n = 20"
    for samples in (10, 100):
        estimates = {
            "L_K": lambda r, k=samples: importance_weighted_bound(model, x, k, "L_K", r),
            "naive Monte-Carlo": lambda r, k=samples: naive_evidence(model, x, k, "naive", r),
        }
        for name, estimate in estimates.items():
            yield Instrument(
                name,
                f"{setting}, K = {samples}",
                truth,
                lambda r, e=estimate, k=samples: of_blocks(*e(r), k),
                expected="below",
            )
    yield Instrument(
        "L_K", f"{setting}, K = 5000", truth,
        lambda r: of_blocks(*importance_weighted_bound(model, x, 5000, "large", r), 5000),
        repeats=500,
    )  # fmt: skip
    yield Instrument(
        "evidence, importance weighted",
        f"{setting}, K = 200; p(x) over its true value",
        1.0,
        lambda r: mean_estimate((model.terms(x, Noise("ratio", r), 200).elbo - evidence).exp()),
    )
    yield Instrument(
        "annealed importance sampling",
        f"{setting}, 20 temperatures, 20 chains",
        truth,
        lambda r: of_blocks(*annealed(model, x, r), 20),
        expected="below",
        repeats=500,
    )


def annealed(model: LinearGaussianVAE, x: Tensor, repeat: int) -> tuple[Tensor, Tensor]:
    start = Noise("start", repeat).normal(40, len(x), model.weight.shape[1]).double()
    joint = lambda z: standard_normal_log_prob(z) + model.log_likelihood(z, x)
    return annealed_importance_sampling(standard_normal_log_prob, joint, start, 20, repeat)


def toy_vae() -> VAE:
    """Return an untrained Bernoulli VAE over four binary pixels with two latent dimensions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = lambda inputs, outputs: MLP(inputs, outputs, widths=[16])
        model = VAE((1, 2, 2), 2, 2, network, network, Bernoulli).eval()
        # A decoder with something to tell; the encoder stays near the prior and so covers it.
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
    """A VAE whose images can all be listed: the evidence is known and the masses sum to 1."""
    model, images = toy_vae(), toy_images()
    evidence = toy_evidence(model)
    setting = "Bernoulli VAE on all 16 images of 4 pixels; truth by quadrature"
    ratio = lambda r: mean_estimate(
        (model.terms(images, Noise("toy", r), 200).elbo - evidence).exp()
    )
    yield Instrument(
        "evidence, importance weighted", f"{setting}, K = 200", 1.0, torch.no_grad()(ratio)
    )
    for name, estimator in (
        ("L_K", importance_weighted_bound),
        ("naive Monte-Carlo", naive_evidence),
    ):
        bound = lambda r, e=estimator: of_blocks(*e(model, images, 50, "toy", r), 50)
        truth = evidence.mean().item()
        yield Instrument(name, f"{setting}, K = 50", truth, bound, expected="below")


def sample_instruments() -> Iterator[Instrument]:
    """What compares sets of images: of noise dimmed to 0.8, with 0.64 of the variance, and not."""

    def pair(repeat: int) -> tuple[Tensor, Tensor]:
        noise = Noise("images", repeat)
        return 0.8 * noise.uniform(400, 64), noise.uniform(400, 64)

    setting = "400 images of noise dimmed to 0.8, 400 undimmed"
    yield Instrument("sharpness", setting, 0.64, lambda r: sharpness(*pair(r), (1, 8, 8), 2))
    # Of U[0, 0.8] and U[0, 1]: means 0.1 apart, standard deviations 0.2 √(1/12), in 64 pixels.
    distance = 64 * (0.1**2 + 0.2**2 / 12)
    estimate = lambda r: Estimate(frechet_distance(*pair(r)), None, 400, 1)
    yield Instrument("Fréchet distance", setting, distance, estimate, expected="above")
