"""Rate–distortion curves against the closed form of the linear-Gaussian model, and on a grid."""

from copy import deepcopy
from functools import partial
from math import log

import pytest
import torch

from bench.densities.normal import LOG_2PI
from bench.inspection.annealer import annealer
from bench.inspection.blocks import block_of, observed
from bench.inspection.rate_distortion import (
    CurveSettings,
    betas_to,
    curve_of_block,
    places_of,
    points_of,
    rate_and_distortion,
    rate_distortion,
)
from bench.instruments.sandwich_truths import block_of_linear_gaussian, drawn
from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.noise import Noise
from tests.inspection.test_bounds import small_vae

SETTINGS = CurveSettings(chains=20, temperatures=40, largest_beta=3.0)


def curve(block, settings=SETTINGS):
    betas = betas_to(settings)
    chosen = annealer(lambda start: block, ("prior",), lambda start: betas, 3, partial(Noise, 1))
    fields = curve_of_block(block, chosen, settings.chains, Noise("chains"))
    return points_of([betas[place] for place in places_of(betas)], list(fields), settings.chains)


def closed_form(model, x, beta):
    """Rate and distortion of p(z) p(x|z)^β, normalized: N(m, diag v) for each x; W has orthogonal columns."""
    variance = 1 / (1 + beta * model.power / model.sigma**2)
    mean = beta * variance * (x @ model.weight) / model.sigma**2
    rate = 0.5 * (variance + mean.square() - 1 - variance.log()).sum(-1)
    error = (x - mean @ model.weight.T).square().sum(-1) + (variance * model.power).sum()
    constant = model.dimensions * (log(model.sigma) + 0.5 * LOG_2PI)
    return rate, 0.5 * error / model.sigma**2 + constant


def test_the_curve_of_the_linear_gaussian_model_is_its_closed_form():
    model = LinearGaussianVAE()
    _, x = drawn(model, 60, "curve")
    points = curve(block_of_linear_gaussian(model, x))
    assert [point.beta for point in points] == sorted(point.beta for point in points)
    assert sum(point.beta == 1 for point in points) == 1 and points[-1].beta >= 3
    for point in points:
        rate, distortion = (part.mean().item() for part in closed_form(model, x, point.beta))
        assert abs(point.distortion.value - distortion) < 5 * point.distortion.stderr + 0.01
        # The rate is an upper bound; here it is nearly the rate.
        assert (
            -5 * point.rate.stderr - 0.002 < point.rate.value - rate < 5 * point.rate.stderr + 0.05
        )
    rates = [point.rate.value for point in points]
    assert rates == sorted(rates) and 0 <= rates[0] < 0.1 and rates[-1] > 2
    model_itself = next(point for point in points if point.beta == 1)
    total = model_itself.rate.value + model_itself.distortion.value
    assert total == pytest.approx(-model.log_evidence(x).mean().item(), abs=0.05)


def test_few_temperatures_bound_the_least_rate_at_their_distortion():
    """With few steps both move, but no point falls below the true curve, which is convex."""
    model = LinearGaussianVAE(8, 4, sigma=0.3)
    _, x = drawn(model, 60, "few")
    points = curve(block_of_linear_gaussian(model, x), CurveSettings(20, 6, largest_beta=1.0))
    for point in points:
        for beta in (0.03, 0.1, 0.3, 1.0, 3.0):
            rate, distortion = (part.mean().item() for part in closed_form(model, x, beta))
            # The tangent of the true curve at β has the slope −β.
            total = point.rate.value + beta * point.distortion.value
            error = (point.rate.stderr or 0) + beta * (point.distortion.stderr or 0)
            assert total > rate + beta * distortion - 4 * error


@torch.no_grad()
def test_the_curve_of_a_decoder_that_is_not_linear_is_that_on_a_grid():
    model = small_vae()
    y = torch.cartesian_prod(*[torch.arange(2)] * 4).to(torch.uint8)
    points = curve(block_of(model, observed(model, y, Noise(0)), "prior", Noise(0)))
    axis = torch.linspace(-6, 6, 121, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    doubled = deepcopy(model).double()
    distortion = -doubled.decoder.log_prob(doubled.decode(z)[:, None], y, Noise(0))
    prior = (-0.5 * z.square().sum(1) - LOG_2PI + 2 * log(0.1))[:, None]
    for point in points:
        weights = prior - point.beta * distortion
        total = weights.logsumexp(0)
        mean = ((weights - total).exp() * distortion).sum(0)
        rate = (-point.beta * mean - total).mean().item()
        assert abs(point.distortion.value - mean.mean().item()) < 5 * point.distortion.stderr + 0.01
        assert abs(point.rate.value - rate) < 5 * point.rate.stderr + 0.03


def test_the_errors_are_the_spread_of_repeats():
    """Jackknife errors of both, of weights and distortions that hang together."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    common = draw(20, 4000)
    (rate, rate_variance), (distortion, distortion_variance) = rate_and_distortion(
        0.7, 0.8 * common, 3 + common + draw(20, 4000)
    )
    assert rate_variance.mean().item() == pytest.approx(rate.var().item(), rel=0.15)
    assert distortion_variance.mean().item() == pytest.approx(distortion.var().item(), rel=0.15)


def test_the_schedule_has_the_model_itself_and_the_largest_beta():
    for settings in (CurveSettings(), CurveSettings(temperatures=7, largest_beta=1.0)):
        betas = betas_to(settings)
        assert betas[0] == 0 and betas[settings.temperatures] == 1.0
        assert betas[-1] >= settings.largest_beta and betas == sorted(betas)
        places = places_of(betas)
        assert settings.temperatures in places and len(places) <= 41


def test_a_curve_of_a_task_is_that_of_its_first_images():
    from bench.data.arrays import task_from_arrays

    y = torch.randint(2, (150, 1, 2, 2), generator=torch.Generator().manual_seed(0))
    images = y.to(torch.uint8).numpy()
    data = task_from_arrays(images, images, 2, images)
    settings = CurveSettings(10, 5, 2, data=120, largest_beta=1.5)
    reports = []
    points = rate_distortion(small_vae(), data, settings, 1, lambda *report: reports.append(report))
    fewer = rate_distortion(small_vae(), data, CurveSettings(10, 5, 2, 120, 1.5))
    assert points == fewer and points[0].rate.n == 120
    shares = [share for share, _ in reports]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
