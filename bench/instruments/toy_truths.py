"""A VAE over four binary pixels, whose evidence `bench calibrate` knows by quadrature."""

from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from math import log

import numpy as np
import torch
from torch import Tensor

from bench.densities.decoders import Bernoulli
from bench.densities.normal import standard_normal_log_prob
from bench.estimators.estimate import Estimate, mean_estimate
from bench.instruments.evidence_truths import SIMULATIONS, bound_mean, naive_mean
from bench.instruments.expectations import Expectation, Numbers, expected_bound
from bench.instruments.known_truths import Instrument
from bench.models.vae import VAE
from bench.networks.mlp import MLP
from bench.noise import Noise


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
    yield Instrument(
        "L_K",
        f"{setting}, K = 50",
        truth,
        partial(bound_mean, model, images, 50, "toy"),
        expected="below",
        bias=toy_expectation(model, 50, from_prior=False),
    )
    yield Instrument(
        "naive Monte-Carlo",
        f"{setting}, K = 50",
        truth,
        partial(naive_mean, model, images, 50, "toy"),
        expected="below",
        bias=toy_expectation(model, 50, from_prior=True),
    )


@torch.no_grad()
def toy_expectation(model: VAE, samples: int, from_prior: bool) -> Expectation:
    """Return the expectation of L_K, or of naive Monte-Carlo, less log P(y) over sixteen images."""
    images, log_evidence = toy_images(), toy_evidence(model).numpy()
    posterior = model.posterior(images)
    loc, scale = posterior.loc.double().numpy(), posterior.log_scale.double().exp().numpy()
    if from_prior:
        loc, scale = np.zeros_like(loc), np.ones_like(scale)
    decode = deepcopy(model).double().decode

    def draw(generator: np.random.Generator, repeats: int) -> Numbers:
        own = generator.integers(len(images), size=repeats)
        noise = generator.standard_normal((repeats, samples, loc.shape[1]))
        z = loc[own][:, None] + scale[own][:, None] * noise
        logits = decode(torch.from_numpy(z))[..., 0, :].numpy()
        signs = 2.0 * images.numpy()[own][:, None] - 1
        ratio = 0.5 * (np.square(noise) - np.square(z)).sum(-1)
        ratio += (np.log(scale[own]).sum(-1) - log_evidence[own])[:, None]
        total: Numbers = ratio - np.logaddexp(0, -signs * logits).sum(-1)
        return total

    return expected_bound(draw, 10 * SIMULATIONS).bound
