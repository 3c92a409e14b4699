"""Each planted mistake is named, and a right model passes."""

import re
from math import log, prod

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Uniform

from bench import InputError, Task, load_task
from bench.adapters.adapted import Wanted
from bench.scoring.checks import check_source
from bench.scoring.suspicions import calibrating_factor
from tests.scoring.planted import (
    Chain,
    LogitNormal,
    OwnFlow,
    OwnVAE,
    checked,
    source_of,
    through_logits,
)

GREY, BINARY = load_task(Task("digits")), load_task(Task("digits", "threshold"))


def chain(changed=lambda v, D: v, **more):
    return lambda shape, levels: Chain(shape, levels, changed, **more)


def flow(changed, images="dequantized"):
    return lambda shape: LogitNormal(shape, changed, images)


def vae(**more):
    return lambda shape: OwnVAE(shape, **more)


DISCRETE = {
    "bits": (lambda v, D: v / log(2), "in bits"),
    "a mean": (lambda v, D: v / D, "mean over pixels"),
    "bits/dim": (lambda v, D: v / D / log(2), "bits/dim"),
    "the loss": (lambda v, D: -v, "negative log-likelihood"),
    "the loss in bits/dim": (lambda v, D: -v / D / log(2), "bits/dim of the loss"),
    "a density": (lambda v, D: v + D * log(4), r"density on \[0, 1\)"),
    "− D log L twice": (lambda v, D: v - D * log(4), "once too often"),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_units_of_a_discrete_model_are_named(name):
    changed, words = DISCRETE[name]
    with pytest.raises(InputError, match=f"sum of masses.*{words}"):
        checked(chain(changed), GREY)


def test_masses_that_do_not_sum_to_one_are_named():
    with pytest.raises(InputError, match="sum of masses: .* over all 16 images.*no distribution"):
        checked(chain(joint=None), GREY)


CONTINUOUS = {
    "bits": (lambda m, x: through_logits(m, x) / log(2), "dequantized", "in bits"),
    "a mean": (lambda m, x: through_logits(m, x) / m.dimensions, "dequantized", "mean over pixels"),
    "the loss": (lambda m, x: -through_logits(m, x), "dequantized", ""),
    "no log-derivative": (
        lambda m, x: m.normal(x.clamp(1e-6, 1 - 1e-6).logit()), "dequantized", "of a logit is missing",
    ),
    "[0, 1) as [0, 17)": (
        lambda m, x: through_logits(m, x / 17), "dequantized:0:17", "− D log 17 is missing",
    ),
    "− D log L twice": (
        lambda m, x: through_logits(m, x) - m.dimensions * log(17), "dequantized", "already",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTINUOUS)
def test_densities_that_do_not_integrate_to_one_are_named(name):
    changed, images, words = CONTINUOUS[name]
    # Its levels are the task's, because it takes none.
    with pytest.raises(InputError, match=f"integral of the density.*{words}"):
        checked(flow(changed, images), GREY)


VAES = {
    "KL weight": (vae(weight=0.5), "KL weight: log_prior is 0.5 times"),
    "weight of log q": (vae(q=0.5), "KL weight: log_posterior is about 0.5"),
    "no 2π": (vae(constant=log(2 * torch.pi)), r"log p\(z\): .*\+1.838 nats"),
    "variance as deviation": (vae(std=1.0), r"log q\(z\|y\): z is drawn with"),
    "weight of the closed form": (vae(analytic=0.25), "KL weight: kl_analytic.* 0.25"),
    "mean of a batch": (vae(batch=True), "neighbours: an image has"),
    "dropout": (vae(drop=True), "two results for one noise"),
    "mean over pixels": (vae(mean=True), "too good: uniformly random images"),
    "NaN": (vae(nan=True), "not finite: reconstruction of a test image"),
}


@pytest.mark.parametrize("name", VAES)
def test_mistakes_in_terms_are_named(name):
    make, words = VAES[name]
    with pytest.raises(InputError, match=words):
        checked(make, BINARY, small=False)


def test_a_mean_over_pixels_shows_in_the_sum_of_masses():
    with pytest.raises(InputError, match="sum of masses: .* by importance weights, and not 1"):
        checked(vae(mean=True), BINARY)


def test_a_kl_weight_that_no_term_shows_is_suspicious():
    found = checked(vae(inside=0.5), BINARY)
    warned = [f.says for f in found if f.outcome == "warning"]
    assert len(warned) == 1 and "is a KL weighted" in warned[0]
    assert all(f.outcome != "warning" for f in checked(vae(inside=1.0), BINARY))


def test_noise_outside_of_a_bin_is_named():
    assert all(f.outcome == "passed" for f in checked(lambda shape: OwnFlow(shape), GREY))
    with pytest.raises(InputError, match=r"spread over \[0, 2\); it has to be in \[0, 1\)"):
        checked(lambda shape: OwnFlow(shape, width=2.0), GREY)


@pytest.mark.parametrize(
    "make, data",
    [
        (chain(), GREY),
        (flow(through_logits), GREY),
        (flow(lambda m, x: through_logits(m, x / 17) - m.dimensions * log(17), "dequantized:0:17"), GREY),
        (flow(lambda m, x: m.normal(x), "logit:0.05"), GREY),
        (flow(lambda m, x: m.normal(x), "dequantized:-1:1"), GREY),
        (vae(), BINARY),
    ],
)  # fmt: skip
def test_right_models_pass(make, data):
    found = checked(make, data)
    assert [f for f in found if f.outcome != "passed"] == []
    assert any(re.match("sum of masses|integral", f.check) for f in found)


class UniformLogits(nn.Module):
    """Even on the logits of images, and not defined elsewhere."""

    images = "logit:0.05"

    def __init__(self, shape):
        super().__init__()
        end = log(0.95 / 0.05)
        self.density = Independent(Uniform(torch.full((prod(shape),), -end), end), 1)

    def log_prob(self, x):
        return self.density.log_prob(x)


def test_a_density_that_refuses_what_no_image_gives_is_integrated_over_images():
    (found,) = check_source(source_of(UniformLogits), None, Wanted(GREY.shape, 17), 1)
    assert found.outcome == "passed" and found.check == "integral of the density"


def test_what_has_a_fixed_shape_is_said_not_to_be_checked_small():
    found = checked(lambda: Chain(GREY.shape, 17), GREY)
    assert [f.says for f in found if f.outcome == "not done"] == [
        "own.py:make has no parameter shape, so that it cannot be built smaller"
    ]


class Frequencies(nn.Module):
    """Independent pixels with the frequencies of the training images, in some unit."""

    images = "discrete"

    def __init__(self, unit):
        super().__init__()
        ones = (BINARY.train.double().sum(0) + 1) / (len(BINARY.train) + 2)
        self.log_mass, self.unit = torch.stack((1 - ones, ones)).log(), unit

    def log_prob(self, y):
        return torch.where(y > 0, self.log_mass[1], self.log_mass[0]).sum(1) / self.unit


def test_bits_of_a_model_of_fixed_shape_are_suspicious():
    warnings = lambda unit: [
        f.says for f in checked(lambda: Frequencies(unit), BINARY) if f.outcome == "warning"
    ]
    assert warnings(1.0) == []
    assert len(warnings(log(2))) == 1 and "in bits instead of nats" in warnings(log(2))[0]


def test_the_calibrating_factor_is_that_of_a_logistic_regression():
    torch.manual_seed(0)
    odds = 3 * torch.randn(40, 200, dtype=torch.float64)
    sign = torch.where(torch.rand(40, 200) < (0.7 * odds).sigmoid(), 1.0, -1.0)
    factor, error = calibrating_factor(sign * odds)
    assert abs(factor - 0.7) < 4 * error < 0.15
