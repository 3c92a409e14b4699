"""What `evaluate` makes of a model's terms, against the same by hand."""

from math import log

import pytest
import torch

from bench.data.arrays import task_from_arrays
from bench.densities.decoders import Bernoulli
from bench.densities.normal import DiagonalNormal, uniform_mixture
from bench.densities.posteriors import FlowPosterior, FullCovariancePosterior
from bench.estimators.evaluate import evaluate
from bench.estimators.samples import laplacian_variance
from bench.models.terms import Terms
from bench.models.vae import VAE
from bench.networks.mlp import MLP
from bench.noise import Noise
from bench.settings import EvaluationConfig

CONFIG = EvaluationConfig(elbo_samples=3, importance_samples=50, importance_data=130)


class Noisy:
    """A model whose log-weights are its noise times 3, so that nearly all of its data have heavy tails."""

    def terms(self, y, noise, samples):
        return Terms(3 * noise.normal(samples, len(y), 1)[..., 0])


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 2, (200, 3, 4, 4), generator=generator, dtype=torch.uint8)
    return task_from_arrays(images, images, 2)


@pytest.fixture(scope="module")
def numbers(data):
    return evaluate(Noisy(), data, CONFIG, seed=7)["test"]


def test_every_block_has_noise_of_its_own(numbers):
    draws = [
        torch.cat([Noise(7, "test", block, "terms", s).normal(1, 100, 1)[0] for block in (0, 1)])
        for s in range(3)
    ]
    elbo = 3 * torch.stack(draws)[..., 0].double()
    assert numbers["elbo"].value == pytest.approx(elbo.mean().item(), abs=1e-6)


def test_the_bound_is_that_of_the_first_data_and_the_noise_of_their_blocks(numbers):
    blocks = [
        torch.cat([Noise(7, "test", "importance", b, d).normal(10, 100, 1) for d in range(5)])[:50]
        for b in (0, 1)
    ]
    weights = 3 * torch.cat(blocks, dim=1)[:, :130, 0].double()
    bound = weights.logsumexp(0) - log(50)
    found = numbers["log_likelihood"]
    assert (found.n, found.samples) == (130, 50)
    assert found.value == pytest.approx(bound.mean().item(), abs=1e-6)
    size = weights.softmax(0).square().sum(0).reciprocal()
    assert numbers["effective_sample_size_median"].value == pytest.approx(size.median().item())


def test_the_gaps_error_has_that_of_the_bound_and_of_the_elbo(numbers):
    draws = [
        torch.cat([Noise(7, "test", block, "terms", s).normal(1, 100, 1)[0] for block in (0, 1)])
        for s in range(3)
    ]
    elbo = 3 * torch.stack(draws)[:, :130, 0].double()
    gap, bound = numbers["inference_gap"], numbers["log_likelihood"]
    spread = (elbo.var(0) / 3).sum().item() / 130**2
    assert gap.stderr**2 == pytest.approx(bound.stderr**2 + spread, rel=1e-6)
    assert gap.value == pytest.approx(bound.value - elbo.mean().item(), abs=1e-6) and gap.n == 130


def test_dimensions_are_pixels_times_channels(numbers):
    bits = -numbers["log_likelihood"].value / (3 * 4 * 4 * log(2))
    assert numbers["bits_per_dim"].value == pytest.approx(bits, rel=1e-12)
    stderr = numbers["log_likelihood"].stderr / (48 * log(2))
    assert numbers["bits_per_dim"].stderr == pytest.approx(stderr, rel=1e-12)


class Exact:
    """A model of known log-likelihood: the number of white pixels, negated."""

    bound = "exact"

    def terms(self, y, noise, samples):
        return Terms(-y.double().sum(1)[None])


def test_an_exact_likelihood_has_an_error_for_the_population_alone(data):
    found = evaluate(Exact(), data, CONFIG, seed=7)["test"]["log_likelihood"]
    each = -data.test.double().sum(1)
    assert (found.value, found.stderr, found.samples) == (pytest.approx(each.mean().item()), 0, 0)
    assert found.stderr_data == pytest.approx(each.std().item() / len(each) ** 0.5)


class Flow:
    """A deterministic encoder: its posteriors are disjoint for distinct images."""

    def terms(self, y, noise, samples):
        return Terms(torch.zeros(samples, len(y)), log_prior=torch.zeros(samples, len(y)))


def test_copies_tell_less_than_which_datum_they_are():
    """Of six images three are alike and two are alike: mean of log(6 / copies)."""
    images = torch.zeros(6, 4, 4, dtype=torch.uint8)
    images[3:5, 0, 0], images[5, 1, 1] = 1, 1
    found = evaluate(Flow(), task_from_arrays(images, images, 2), CONFIG, seed=7)["test"]
    expected = (3 * log(6 / 3) + 2 * log(6 / 2) + log(6)) / 6
    assert found["mutual_information"][:2] == (pytest.approx(expected, abs=1e-12), 0)


class Seeing:
    """An encoder whose mean is an image's first two pixels, and a decoder whose contrast is z's."""

    def terms(self, y, noise, samples):
        q = DiagonalNormal(y[:, :2].float(), torch.full((len(y), 2), -3.0))
        z, zero = q.sample(noise, samples), torch.zeros(samples, len(y))
        return Terms(zero, log_prior=zero, log_posterior=q.log_prob(z), latent=z, posterior=q)

    def decode_mean(self, z):
        return z[:, :1] * (5 * torch.arange(16) % 7)

    def sample_mean(self, n, noise):
        return noise.uniform(n, 16)

    def reconstruct(self, y):
        return y.float()


def test_images_of_the_aggregate_are_those_of_the_training_split():
    generator = torch.Generator().manual_seed(0)
    test = torch.randint(0, 9, (30, 4, 4), generator=generator, dtype=torch.uint8)
    data = task_from_arrays(test // 3, test, 9)  # training images have a third of the contrast
    found = evaluate(Seeing(), data, CONFIG, seed=7)["test"]
    q = DiagonalNormal(data.train[:, :2].float(), torch.full((30, 2), -3.0))
    z = uniform_mixture(q).sample(1000, Noise(7, "sharpness", "aggregate"))
    variance = lambda images: laplacian_variance(images, (1, 4, 4), 9).mean().item()
    expected = variance(Seeing().decode_mean(z)) / variance(data.test)
    assert (
        found["sharpness_aggregate"].value == pytest.approx(expected, rel=1e-6) and expected > 0.05
    )
    assert found["sharpness_reconstruction"].value == pytest.approx(1.0)


@pytest.mark.parametrize("posterior", [FullCovariancePosterior, FlowPosterior])
def test_the_kl_is_split_where_q_agg_is_known(data, posterior):
    network = lambda inputs, outputs: MLP(inputs, outputs, widths=[8])
    model = VAE((3, 4, 4), 2, 2, network, network, Bernoulli, posterior=posterior).eval()
    columns = evaluate(model, data, CONFIG, 0)["test"]
    parts = {"mutual_information", "marginal_kl", "elbo_aggregate", "sharpness_aggregate"}
    assert parts & set(columns) == (parts if posterior is FullCovariancePosterior else set())
    difference = columns["reconstruction"].value - columns["kl"].value
    assert columns["elbo"].value == pytest.approx(difference, abs=1e-4)
