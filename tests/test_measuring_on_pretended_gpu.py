"""What measures models, besides a run's own evaluation, gives the CPU's bytes on a pretended GPU."""

import copy
from functools import partial

import pytest
import torch

from bench import DiagonalNormal, EvaluationConfig, ExternalVAE, evaluate
from bench.claims.evidence import dequantization_rows, importance_ladder, naive_rows
from bench.claims.flow import flow_rows
from bench.claims.levels import unseen_levels
from bench.claims.optimal_prior import exemplar_curves, sample_grids
from bench.claims.rows import Subject
from bench.configuration.models import build_model
from bench.configuration.parsing import parse_run
from bench.data.tasks import Task, load_task
from bench.densities.decoders import Bernoulli, Categorical, Gaussian
from bench.densities.discretized import DiscretizedGaussian, DiscretizedLogistic
from bench.estimators.annealing import annealed_importance_sampling
from bench.instruments.frechet import frechet_distance
from bench.instruments.minibatch import stratified_log_aggregate, weighted_log_aggregate
from bench.noise import Noise
from bench.system.determinism import deterministically
from tests.conftest import SMALL
from tests.pretended_gpu import pretended_gpu
from tests.small_models import FLOW, VAE, config_of, few_images

SUBJECT = Subject("task", "model", 1)
FEW = EvaluationConfig(importance_samples=10, importance_data=20)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("bench.claims.evidence.LADDER", {1: 2, 10: 2})
    monkeypatch.setattr("bench.claims.evidence.NAIVE_SAMPLES", 20)
    monkeypatch.setattr("bench.estimators.evaluate.SHARPNESS_SAMPLES", 50)


def on_both(model, measure):
    """Return what ``measure`` gives for a model on the CPU, and on a GPU with numbers of its own."""
    with deterministically():
        host = measure(copy.deepcopy(model), "cpu")
        with pretended_gpu(own_numbers=True):
            return host, measure(copy.deepcopy(model).to("cuda"), "cuda")


def built(config):
    """Return a model with moved weights, in evaluation mode, and its data."""
    data = few_images(Task(**config["data"]))
    model = build_model(config, data.shape, data.task.levels)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model.eval(), data


@pytest.mark.parametrize("name", ["gaussian_vae", "gated_vamp_vae", "realnvp", "gaussian_mixture"])
def test_the_library(name):
    model, data = built(config_of(name))
    host, there = on_both(model, lambda m, device: evaluate(m, data, FEW, device=device))
    assert host == there


class Encoder(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x).chunk(2, -1)


def test_an_external_vae():
    data = few_images(Task("digits"))
    torch.manual_seed(0)
    likelihood = partial(Gaussian, sigma="optimal")
    model = ExternalVAE((1, 8, 8), 17, Encoder(64, 4), torch.nn.Linear(2, 64), likelihood)
    host, there = on_both(model, lambda m, device: evaluate(m, data, FEW, device=device))
    assert host == there


def claims_of(name, *options):
    model, data = built(parse_run(["--model", name, "--data", "digits-17", *SMALL, *options]))

    def measure(model, device):
        model.attach(data.train.to(device))
        y = data.test[:10].to(device)
        ladder = importance_ladder(model, y, 1)
        rows = dequantization_rows(model, y, 1, ladder, SUBJECT) + naive_rows(model, y, 1, SUBJECT)
        rows += flow_rows(model, y, 1, SUBJECT)
        more = []
        if name == "gaussian_vae":
            gains, curves = exemplar_curves(model, data, 20, 1, device, SUBJECT)
            rows, more = rows + gains, [*curves, sample_grids(model, data, 1, device, SUBJECT)]
        return ladder, rows, more

    return on_both(model, measure)


@pytest.mark.parametrize("name, options", [("gaussian_vae", VAE), ("realnvp", FLOW)])
def test_the_claims(name, options):
    host, there = claims_of(name, *options)
    assert len(host[1]) >= 2
    assert host == there


def test_unseen_levels():
    data = load_task(Task("digits", leave_out_every=4))
    options = ["--data.leave_out_every=4", "--model.decoder=Categorical", *VAE]
    config = parse_run(["--model", "gaussian_vae", "--data", "digits-17", *options])
    model = build_model(config, data.shape, 17).eval()
    y = data.test[:20]
    host, there = on_both(model, lambda m, device: unseen_levels(m, data, y.to(device), 1, SUBJECT))
    assert host[0] and host == there


@pytest.mark.parametrize(
    "decoder, levels",
    [(Bernoulli, 2), (Gaussian, 17), (Categorical, 17), (DiscretizedLogistic, 17)]
    + [(DiscretizedGaussian, 17)],
)
def test_draws_of_a_likelihood(decoder, levels):
    likelihood = decoder(6, levels).eval()
    torch.manual_seed(0)
    outputs = torch.randn(5, likelihood.outputs_per_dimension, 6)
    draw = lambda m, device: m.sample(outputs.to(device), Noise("y", device=device)).tolist()
    host, there = on_both(likelihood, draw)
    assert host == there


def test_annealing_mini_batches_and_features():
    model, data = built(config_of("bernoulli_vae"))

    def measure(model, device):
        y = data.test[:6].to(device)
        posterior = model.posterior(y)
        posterior = DiagonalNormal(posterior.loc.detach(), posterior.log_scale.detach())

        def joint(z):
            likelihood = model.decoder.log_prob(model.decode(z), y, Noise("none", device=device))
            return likelihood + model.prior_density(Noise("p"), None).log_prob(z)

        start = posterior.sample(Noise("start", device=device), 4)
        value, variance = annealed_importance_sampling(posterior.log_prob, joint, start, 3, "key")
        z = start[0]
        weighted = weighted_log_aggregate(z, posterior, 100)
        stratified = stratified_log_aggregate(z, posterior, 100)
        distance = frechet_distance(start[0], start[1])
        parts = (value, variance, weighted, stratified)
        return [part.tolist() for part in parts], distance

    host, there = on_both(model, measure)
    assert host == there
