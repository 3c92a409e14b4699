"""Checks of log p(z) and log q(z|y): densities of weight 1, of the z that was drawn."""

from math import log, pi
from typing import Any

import torch
from torch import Tensor

from bench.densities.normal import LOG_2PI, standard_normal_log_prob
from bench.errors import InputError
from bench.models.terms import Terms
from bench.noise import Noise
from bench.scoring.finding import Finding
from bench.scoring.probes import distinct_images

PRIOR_IMAGES, POSTERIOR_IMAGES, LEAST_SAMPLES = 64, 3, 2000
# Residual of a fit, relative to the values' spread, below which they are of the form that is fitted.
SAME_FORM = 1e-3
# Most dimensions of z for which the form of q is fitted: it takes several samples for each.
MOST_DIMENSIONS = 512
CERTAIN = 6.0


def check_kl(model: Any, images: Tensor, seed: int) -> list[Finding]:
    """Check the two densities of a model that has them, and its KL in closed form.

    Raises:
        InputError: One is a multiple of a density, or is not that of the z that was drawn.
    """
    y = distinct_images(images, PRIOR_IMAGES)
    terms: Terms = model.terms(y, Noise(seed, "kl", device=y.device), 2)
    if terms.log_prior is None or terms.log_posterior is None or terms.latent is None:
        return []
    found = [check_prior(terms.latent, terms.log_prior)]
    dimensions = terms.latent.shape[-1]
    if dimensions > MOST_DIMENSIONS:
        words = f"z has {dimensions} dimensions, more than {MOST_DIMENSIONS}"
        return [*found, Finding("log q(z|y)", "not done", words)]
    samples = max(LEAST_SAMPLES, 8 * dimensions + 4)
    few = y[:POSTERIOR_IMAGES]
    terms = model.terms(few, Noise(seed, "kl", "q", device=y.device), samples)
    found.append(check_posterior(terms))
    if terms.kl_analytic is not None:
        found.append(check_closed_form(terms))
    return found


def check_prior(latent: Tensor, log_prior: Tensor) -> Finding:
    """Check whether log p(z) is a multiple of a standard normal's, or off by a constant."""
    z, values = latent.double().flatten(0, 1), log_prior.double().flatten()
    standard = standard_normal_log_prob(z)
    if standard.std() < 1e-6:
        return Finding("log p(z)", "not done", "all z are at one distance from 0")
    slope, constant = fitted_line(standard, values)
    residual = values - slope * standard - constant
    if residual.abs().max() > SAME_FORM * max(values.std().item(), 1e-6):
        return Finding("log p(z)", "not done", "not of a standard normal's form; taken as given")
    if abs(slope - 1) > 0.01:
        raise InputError(
            f"KL weight: log_prior is {slope:.4g} times a standard normal's log-density, up to a "
            "constant; reported terms have weight 1, whatever β the training had"
        )
    if abs(constant) > 0.01 + 1e-4 * values.abs().max():
        raise InputError(
            f"log p(z): log_prior is a standard normal's log-density {constant:+.4g} nats; "
            f"(latent / 2) log 2π is {0.5 * z.shape[1] * LOG_2PI:.4g}"
        )
    return Finding("log p(z)", "passed", "a standard normal's log-density, with weight 1")


def fitted_line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Return slope and constant of the least squares of y by x."""
    centred = x - x.mean()
    slope = ((centred * y).sum() / centred.square().sum()).item()
    return slope, (y.mean() - slope * x.mean()).item()


def check_posterior(terms: Terms) -> Finding:
    """Check, where log q(z|y) is quadratic in z, that it is the density of the z that were drawn."""
    assert terms.latent is not None and terms.log_posterior is not None
    for number in range(terms.latent.shape[1]):
        z = terms.latent[:, number].double()
        values = terms.log_posterior[:, number].double()
        if z.std(0).min() < 1e-12:
            return Finding("log q(z|y)", "not done", "z has a dimension without spread")
        w = (z - z.mean(0)) / z.std(0)
        parts = torch.cat((torch.ones_like(w[:, :1]), w, w.square()), 1)
        solution = torch.linalg.lstsq(parts, values[:, None]).solution[:, 0]
        residual = values - parts @ solution
        if residual.abs().max() > SAME_FORM * max(values.std().item(), 1e-6):
            return Finding(
                "log q(z|y)", "not done", "not of a diagonal normal's form; taken as given"
            )
        d = z.shape[1]
        linear, precision = solution[1 : d + 1], -2 * solution[d + 1 :]
        if (precision <= 0).any():
            raise InputError("log q(z|y): log_posterior grows with the distance of z from its mean")
        highest = solution[0] + (linear.square() / (2 * precision)).sum()
        compare_with_normal(precision, highest.item(), z.std(0).log().sum().item(), len(z))
    return Finding("log q(z|y)", "passed", "the log-density of the z that are drawn, with weight 1")


def compare_with_normal(precision: Tensor, highest: float, log_scale: float, samples: int) -> None:
    """Raise InputError unless a quadratic is the log-density of draws.

    Args:
        precision: Minus twice its coefficients of the squares of standardized draws, (d,); they are 1
            up to the draws' error.
        highest: Its largest value.
        log_scale: Log of the product of the standard deviations by which they were standardized.
        samples: Number of draws.
    """
    d = len(precision)

    def of_density(weight: float) -> float:
        of_standardized = 0.5 * (precision / (2 * pi * weight)).log().sum().item()
        return weight * (of_standardized - log_scale)

    # The sample variance of a normal has a relative error of √(2 / n).
    error = CERTAIN * (2 / samples) ** 0.5 + 0.02
    ratio = precision.log().mean().exp().item()
    if abs(highest - of_density(1.0)) < 0.02 + 1e-3 * abs(highest):
        worst = precision[precision.log().abs().argmax()].item()
        if abs(log(worst)) > error:
            raise InputError(
                f"log q(z|y): z is drawn with {worst:.3g} times the variance that log_posterior has; is "
                "a variance used as a standard deviation, or the reverse?"
            )
        return
    off = abs(highest - of_density(ratio))
    if abs(log(ratio)) > error and off < 0.05 * (abs(highest) + d):
        raise InputError(
            f"KL weight: log_posterior is about {ratio:.2g} times the log-density of the z that are "
            "drawn; reported terms have weight 1, whatever β the training had"
        )
    raise InputError(
        f"log q(z|y): log_posterior is off by {highest - of_density(1.0):+.4g} nats from the normal "
        f"density of the same form; (latent / 2) log 2π is {0.5 * d * LOG_2PI:.4g}"
    )


def check_closed_form(terms: Terms) -> Finding:
    """Check the KL in closed form against the mean of log q(z|y) − log p(z)."""
    assert terms.kl_analytic is not None
    assert terms.log_posterior is not None and terms.log_prior is not None
    sampled = (terms.log_posterior - terms.log_prior).double()
    mean, error = sampled.mean(0), sampled.std(0) / len(sampled) ** 0.5
    off = (terms.kl_analytic.double() - mean).abs()
    if (off > CERTAIN * error + 0.01 * mean.abs() + 0.01).all():
        ratio = (terms.kl_analytic.double().sum() / mean.sum()).item()
        raise InputError(
            f"KL weight: kl_analytic is {terms.kl_analytic[0]:.4g} nats for an image whose mean of "
            f"log q(z|y) − log p(z) is {mean[0]:.4g} ± {error[0]:.2g}, {ratio:.3g} times as much; it "
            "has weight 1 and is a sum over the dimensions of z"
        )
    return Finding("KL in closed form", "passed", "agrees with log q(z|y) − log p(z)")
