"""Estimators of log p(y) that `bench calibrate` measures, against closed forms and expectations.

Importance weights are easy where q is near the posterior. The instruments here also have hard ones:
forty latent dimensions, a q five times narrower than the posterior, dequantization of dozens of
pixels, and so effective sample sizes near 1.
"""

from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor, nn

from bench.densities.decoders import Gaussian
from bench.densities.normal import standard_normal_log_prob
from bench.estimators.annealing import annealed_importance_sampling
from bench.estimators.diagnostics import bound_estimates, mean_with_error
from bench.estimators.estimate import Estimate, mean_estimate
from bench.estimators.evidence import diagnosed_bound, diagnosed_naive_evidence
from bench.instruments.expectations import (
    Expectation,
    Numbers,
    bound_series,
    dequantized,
    expected_bound,
    log_logit_normal_density,
    log_logit_normal_masses,
    log_normal_density,
    log_normal_masses,
    normal_ratio,
    shifted_normal_moment,
    shifted_normal_ratio,
)
from bench.instruments.known_truths import Instrument
from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.models.realnvp import RealNVP
from bench.models.vae import VAE
from bench.networks.mlp import MLP
from bench.noise import Noise

# Repeats of a simulated expectation.
SIMULATIONS, PIXEL_SIMULATIONS = 20_000, 6_000
# What 4,000 repeats of annealed importance sampling with other noise were below log p(x).
ANNEALING_BIAS = Expectation(-0.0359, 0.001)
HARD_REPEATS = 500


def bound_mean(
    model: VAE | LinearGaussianVAE, y: Tensor, samples: int, key: str, repeat: int
) -> Estimate:
    """Return L_K from K = ``samples`` draws for y (batch, D), with its error as a run reports it."""
    bound = diagnosed_bound(model, y, samples, key, repeat)
    return bound_estimates(bound, samples)["log_likelihood"]


def naive_mean(
    model: VAE | LinearGaussianVAE, y: Tensor, samples: int, key: str, repeat: int
) -> Estimate:
    """Return naive Monte-Carlo's log-evidence of y (batch, D), with the same rule for its error."""
    estimate = diagnosed_naive_evidence(model, y, samples, key, repeat)
    return bound_estimates(estimate, samples)["log_likelihood"]


def evidence_instruments() -> Iterator[Instrument]:
    """Estimators of log p(x), below it in expectation, and of p(x), unbiased."""
    model = LinearGaussianVAE(shift=0.3, stretch=1.4)
    x = model.data(20)
    log_evidence = model.log_evidence(x)
    truth = log_evidence.mean().item()
    setting = "linear-Gaussian, n = 20"
    shifts = (model.shift / model.posterior_variance.sqrt()).numpy()
    for samples in (10, 100):
        draw = shifted_normal_ratio(samples, model.stretch, shifts)
        yield Instrument(
            "L_K",
            f"{setting}, K = {samples}",
            truth,
            partial(bound_mean, model, x, samples, "L_K"),
            expected="below",
            bias=expected_bound(draw, SIMULATIONS).bound,
        )
    yield large_sample_instrument(model, x, shifts, setting)
    for samples in (10, 100):
        yield Instrument(
            "naive Monte-Carlo",
            f"{setting}, K = {samples}",
            truth,
            partial(naive_mean, model, x, samples, "naive"),
            expected="below",
            bias=naive_expectation(model, x, samples),
        )
    yield Instrument(
        "evidence, importance weighted",
        f"{setting}, K = 200; p(x) over its true value",
        1.0,
        lambda r: mean_estimate((model.terms(x, Noise("ratio", r), 200).elbo - log_evidence).exp()),
    )
    yield from annealing_instruments(model, x, setting)


def large_sample_instrument(
    model: LinearGaussianVAE, x: Tensor, shifts: Numbers, setting: str
) -> Instrument:
    """L_5000, whose bias is smaller than its own spread, with the mean weight as control variate.

    The mean of K weights, over p(x), is exp(L_K − log p(x)), and its expectation is 1. L_K less the mean
    weight's deviation from 1 has the bias of L_K, and a spread of the second order in 1/√K.
    """
    log_evidence = model.log_evidence(x)
    bound = cache(lambda repeat: diagnosed_bound(model, x, 5000, "L_K", repeat))
    return Instrument(
        "L_K",
        f"{setting}, K = 5000, bias by control variate and by series",
        log_evidence.mean().item(),
        lambda repeat: bound_estimates(bound(repeat), 5000)["log_likelihood"],
        expected="below",
        repeats=500,
        bias=bound_series(
            5000,
            (
                shifted_normal_moment(2, model.stretch, shifts),
                shifted_normal_moment(3, model.stretch, shifts),
            ),
        ),
        control=lambda repeat: (bound(repeat).value - log_evidence).expm1().mean().item(),
    )


def naive_expectation(model: LinearGaussianVAE, x: Tensor, samples: int) -> Expectation:
    """Return the expectation of naive Monte-Carlo less log p(x), the mean over the data x (n, D)."""
    weight, data, log_evidence = model.weight.numpy(), x.numpy(), model.log_evidence(x).numpy()

    def draw(generator: np.random.Generator, repeats: int) -> Numbers:
        own = generator.integers(len(data), size=repeats)
        z = generator.standard_normal((repeats, samples, weight.shape[1]))
        squares = np.square((data[own][:, None] - z @ weight.T) / model.sigma).sum(-1)
        constant = data.shape[1] * np.log(model.sigma * np.sqrt(2 * np.pi)) + log_evidence[own]
        total: Numbers = -0.5 * squares - constant[:, None]
        return total

    return expected_bound(draw, 10 * SIMULATIONS).bound


def annealing_instruments(
    model: LinearGaussianVAE, x: Tensor, setting: str
) -> Iterator[Instrument]:
    log_evidence = model.log_evidence(x)
    setting = f"{setting}, 20 temperatures, 20 chains"
    yield Instrument(
        "annealed importance sampling",
        setting,
        log_evidence.mean().item(),
        lambda r: mean_with_error(*annealed(model, x, r), 20, True),
        expected="below",
        repeats=500,
        bias=ANNEALING_BIAS,
    )
    yield Instrument(
        "evidence, annealed importance sampling",
        f"{setting}; p(x) over its true value",
        1.0,
        lambda r: population_mean((annealed(model, x, r)[0] - log_evidence).exp()),
        population=True,
        repeats=500,
    )


def annealed(model: LinearGaussianVAE, x: Tensor, repeat: int) -> tuple[Tensor, Tensor]:
    start = Noise("start", repeat).normal(40, len(x), model.weight.shape[1]).double()
    joint = lambda z: standard_normal_log_prob(z) + model.log_likelihood(z, x)
    return annealed_importance_sampling(standard_normal_log_prob, joint, start, 20, repeat)


def population_mean(values: Tensor) -> Estimate:
    """Return the mean of independent values (n,), whose spread gives its standard error."""
    return mean_estimate(values[None])


def hard_instruments() -> Iterator[Instrument]:
    """L_K where a few weights carry the sum: its error is that of an estimate of E[L_K]."""
    for latent, stretch, samples, n in (
        (40, 0.5, 100, 200),
        (40, 0.2, 100, 20),
        (40, 0.2, 400, 200),
        (2, 0.1, 200, 200),
        (60, 1.3, 100, 200),
    ):
        model = LinearGaussianVAE(latent + 4, latent, stretch=stretch)
        x = model.data(n)
        yield from bound_instruments(
            model,
            x,
            samples,
            f"linear-Gaussian, {latent}-D latent, q {stretch} times as wide, n = {n}, K = {samples}",
            model.log_evidence(x).mean().item(),
            expected_bound(normal_ratio(samples, latent, stretch), SIMULATIONS),
            is_absolute=False,
        )
    image = np.arange(64.0) % 4
    y = torch.from_numpy(image).to(torch.uint8)
    scale, alpha, samples, n = 0.15, 0.01, 100, 200
    yield from bound_instruments(
        constant_vae(scale),
        y[:16].expand(n, 16),
        samples,
        f"Gaussian decoder that ignores z, 16 pixels, n = {n}, K = {samples}",
        log_normal_masses(image[:16], 4, 0.5, scale),
        expected_bound(
            dequantized(samples, image[:16], 4, log_normal_density(0.5, scale)), PIXEL_SIMULATIONS
        ),
    )
    flow = RealNVP((1, 8, 8), 4, couplings=2, widths=[2], alpha=alpha).eval()
    yield from bound_instruments(
        flow,
        y.expand(n, 64),
        samples,
        f"flow that is the identity on logits, 64 pixels, n = {n}, K = {samples}",
        log_logit_normal_masses(image, 4, alpha),
        expected_bound(
            dequantized(samples, image, 4, log_logit_normal_density(alpha)), PIXEL_SIMULATIONS
        ),
    )


# Each parameter is a part of one instrument.
def bound_instruments(
    model: nn.Module | LinearGaussianVAE,
    y: Tensor,
    samples: int,
    setting: str,
    log_evidence: float,
    expected: tuple[Expectation, Expectation],
    is_absolute: bool = True,
) -> Iterator[Instrument]:
    """L_K, below the log-evidence, and its rise from K/2 draws.

    ``expected`` has the expectations of both; that of L_K is one of L_K − log p(y) unless
    ``is_absolute``.
    """
    bound, rise = expected
    columns = cache(
        lambda repeat: bound_estimates(diagnosed_bound(model, y, samples, "hard", repeat), samples)
    )
    yield Instrument(
        "L_K",
        setting,
        log_evidence,
        lambda repeat: columns(repeat)["log_likelihood"],
        expected="below",
        repeats=HARD_REPEATS,
        bias=bound.less(log_evidence) if is_absolute else bound,
    )
    yield Instrument(
        "rise of L_K from K/2 draws",
        setting,
        rise.value,
        lambda repeat: columns(repeat)["bound_rise"],
        population=True,
        repeats=HARD_REPEATS,
        bias=Expectation(0.0, rise.stderr),
    )


def constant_vae(scale: float) -> VAE:
    """Return a VAE over 4 × 4 pixels of 4 levels with q = prior, whose decoder is N(½, scale²)."""
    network = lambda inputs, outputs: MLP(inputs, outputs, widths=[2])
    decoder = partial(Gaussian, sigma=scale)
    model = VAE((1, 4, 4), 4, 2, network, network, decoder).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model
