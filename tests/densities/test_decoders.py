"""Each likelihood against enumeration over all levels, or against another library."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import logistic, norm
from torch.distributions import Normal

from bench.densities.decoders import Bernoulli, Categorical, Gaussian
from bench.densities.dequantization import dequantize_uniformly
from bench.densities.discretized import DiscretizedGaussian, DiscretizedLogistic, log_normal_mass
from bench.errors import InputError
from bench.noise import Noise

SCALES = ("shared", "pixel", "decoder")


def discrete_decoders(levels, dimensions=3):
    decoders = [DiscretizedLogistic(dimensions, levels, scale) for scale in SCALES]
    decoders += [DiscretizedGaussian(dimensions, levels, scale) for scale in SCALES]
    decoders.append(Categorical(dimensions, levels))
    return decoders + ([Bernoulli(dimensions, levels)] if levels == 2 else [])


def outputs_for(decoder, batch=4, size=1.0, dimensions=3):
    torch.manual_seed(1)
    return size * torch.randn(1, batch, decoder.outputs_per_dimension, dimensions)


def masses(decoder, outputs, levels):
    """Return P(y) of a decoder of one dimension for each level, shape (levels, batch)."""
    rows = []
    for level in range(levels):
        y = torch.full((outputs.shape[1], 1), level, dtype=torch.uint8)
        rows.append(decoder.log_prob(outputs, y, Noise(0))[0].exp())
    return torch.stack(rows)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_masses_sum_to_one(levels):
    for decoder in discrete_decoders(levels, 1):
        total = masses(decoder, outputs_for(decoder, dimensions=1), levels).sum(0)
        torch.testing.assert_close(total, torch.ones_like(total), atol=2e-5, rtol=0)


@settings(max_examples=60, deadline=None)
@given(
    levels=st.sampled_from([2, 17, 256]),
    size=st.sampled_from([0.0, 1.0, 30.0, 1e3]),
    edge=st.sampled_from(["zeros", "largest", "random"]),
)
def test_log_prob_is_finite_and_at_most_zero_for_extreme_inputs(levels, size, edge):
    for decoder in discrete_decoders(levels):
        outputs = outputs_for(decoder, size=size).requires_grad_()
        y = {
            "zeros": torch.zeros(4, 3, dtype=torch.uint8),
            "largest": torch.full((4, 3), levels - 1, dtype=torch.uint8),
            "random": torch.randint(0, levels, (4, 3), dtype=torch.uint8),
        }[edge]
        value = decoder.log_prob(outputs, y, Noise(0))
        assert torch.isfinite(value).all() and (value <= 1e-4).all()
        value.sum().backward()
        assert torch.isfinite(outputs.grad).all()


def test_discretized_logistic_against_scipy():
    decoder = DiscretizedLogistic(3, 17, "decoder")
    outputs = outputs_for(decoder)
    y = torch.tensor([[0, 5, 16]] * 4)
    loc = (0.5 + 0.2 * outputs[0, :, 0]).numpy()
    scale = (0.2 * (outputs[0, :, 1] - 0.6).exp()).numpy()
    upper = np.where(y == 16, np.inf, (y.numpy() + 1) / 17)
    lower = np.where(y == 0, -np.inf, y.numpy() / 17)
    below = logistic.cdf(upper, loc, scale) - logistic.cdf(lower, loc, scale)
    above = logistic.sf(lower, loc, scale) - logistic.sf(upper, loc, scale)
    expected = np.log(np.where(lower > loc, above, below)).sum(-1)  # whichever does not cancel
    np.testing.assert_allclose(decoder.log_prob(outputs, y, Noise(0))[0], expected, atol=1e-4)


@pytest.mark.parametrize(
    "decoder_class, distribution, lowest",
    [(DiscretizedLogistic, logistic, -7.0), (DiscretizedGaussian, norm, np.log(0.1 / 256))],
)
def test_scales_are_cut_off_at_the_documented_bound_alone(decoder_class, distribution, lowest):
    """Log-scales of −6 and −5 are as they are, −12 is the bound: masses one bin from the location."""
    decoder = decoder_class(3, 256, "decoder")
    asked = torch.tensor([-5.0, -6.0, -12.0])
    outputs = torch.zeros(1, 1, 2, 3)
    outputs[0, 0, 1] = asked + decoder.log_deviation - decoder.log_scale_of(torch.zeros(3))
    y = torch.tensor([[127, 127, 127]])
    scale = np.exp(np.maximum(asked.double().numpy(), lowest))
    lower, upper = 127 / 256, 128 / 256
    mass = distribution.cdf(upper, 0.5, scale) - distribution.cdf(lower, 0.5, scale)
    ours = decoder.log_prob_of_pixels(outputs, y, Noise(0))[0, 0].detach().numpy()
    np.testing.assert_allclose(ours, np.log(mass), rtol=1e-3, atol=1e-5)
    log_scale = decoder.location_and_log_scale(outputs)[1].detach().numpy()
    np.testing.assert_allclose(
        np.broadcast_to(log_scale, (1, 1, 3))[0, 0], np.log(scale), rtol=1e-5
    )


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [0.1, 1.0, 3.0])
def test_discretized_gaussian_against_scipy(scale, size):
    """Up to some tens of standard deviations out, where scipy's own masses underflow."""
    decoder = DiscretizedGaussian(3, 17, scale)
    outputs = outputs_for(decoder, batch=50, size=size)
    y = torch.tensor([[0, 5, 16], [16, 0, 9]] * 25)
    loc = 0.5 + 0.2 * outputs[0, :, 0].double().numpy()
    free = outputs[0, :, 1].double().numpy() if scale == "decoder" else np.zeros((50, 3))
    deviation = np.clip(0.2 * np.exp(free), 0.1 / 256, np.exp(5))
    upper = np.where(y == 16, np.inf, (y.numpy() + 1) / 17)
    lower = np.where(y == 0, -np.inf, y.numpy() / 17)
    below = norm.cdf(upper, loc, deviation) - norm.cdf(lower, loc, deviation)
    above = norm.sf(lower, loc, deviation) - norm.sf(upper, loc, deviation)
    mass = np.where(lower > loc, above, below)  # whichever does not cancel
    known = (mass > 1e-290).all(-1)
    assert known.sum() > 15
    ours = decoder.log_prob(outputs, y, Noise(0))[0].detach().numpy()
    np.testing.assert_allclose(ours[known], np.log(mass[known]).sum(-1), rtol=1e-5, atol=1e-5)


def test_masses_of_normal_intervals_far_out_and_their_gradients():
    """Against the integral's expansion, where neither scipy's cdf nor sf is above 0; mirrored too."""
    lower = torch.tensor([60.0, 1e3, 4e5, -60.5, -1e3 - 0.5], dtype=torch.float64)
    upper = lower + torch.tensor([0.5, 1e-3, 30.0, 0.5, 0.5], dtype=torch.float64)
    # ∫_a^b φ = φ(a)/a · (1 − 1/a² + …) − the same at b, with a the end nearer to 0.
    near, far = torch.minimum(lower.abs(), upper.abs()), torch.maximum(lower.abs(), upper.abs())
    log_tail = lambda x: -0.5 * (x * x + np.log(2 * np.pi)) - x.log() + torch.log1p(-(x**-2))
    expected = log_tail(near) + torch.log(-torch.expm1(log_tail(far) - log_tail(near)))
    closed = torch.zeros(5, dtype=torch.bool)
    shift = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    ours = log_normal_mass(lower + shift, upper + shift, closed, closed)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-6)
    # Moving the interval out by δ divides its mass by e^{near·δ}, about.
    gradient = torch.autograd.grad(ours.sum(), shift)[0]
    slope = (log_tail(near + 1e-4) - log_tail(near - 1e-4)) / 2e-4
    torch.testing.assert_close(gradient.abs(), slope.abs(), rtol=0.02, atol=0)
    assert torch.equal(gradient.sign(), -lower.sign())


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_normal_masses_sum_to_one_in_float64(levels):
    loc = torch.tensor([-300.0, -0.1, 0.0, 0.37, 1.0, 300.0]).double()[:, None]
    bound = torch.arange(levels).double()
    for scale in (0.1 / 256, 0.1, 1.0, 150.0):
        lower, upper = ((bound + edge) / levels for edge in (0, 1))
        ends = ((end - loc) / scale for end in (lower, upper))
        mass = log_normal_mass(*ends, bound == 0, bound == levels - 1).exp().sum(-1)
        torch.testing.assert_close(mass, torch.ones(6).double(), rtol=0, atol=1e-11)


def test_a_wide_normal_is_flat_and_a_narrow_one_certain():
    closed = torch.zeros(1, dtype=torch.bool)
    width = torch.tensor([1e-8], dtype=torch.float64)
    flat = log_normal_mass(width - width, width, closed, closed)
    torch.testing.assert_close(flat, (width / np.sqrt(2 * np.pi)).log(), rtol=1e-8, atol=0)
    certain = log_normal_mass(-1e8 * width * 40, 1e8 * width * 40, closed, closed)
    torch.testing.assert_close(certain, torch.zeros_like(certain))


@pytest.mark.parametrize("levels", [2, 17])
def test_mean_and_samples_agree_with_the_masses(levels):
    for decoder in discrete_decoders(levels, 1):
        outputs = outputs_for(decoder, dimensions=1)
        table = masses(decoder, outputs, levels)
        expected = (table * torch.arange(levels)[:, None]).sum(0)
        torch.testing.assert_close(decoder.mean(outputs)[0, :, 0], expected, atol=1e-3, rtol=0)
        n = 20_000
        drawn = decoder.sample(outputs.expand(n, -1, -1, -1), Noise(2))[..., 0]
        frequency = torch.stack([(drawn == level).float().mean(0) for level in range(levels)])
        error = (table * (1 - table) / n).sqrt()
        assert ((frequency - table).abs() <= 5 * error + 1e-4).all()


@pytest.mark.parametrize("sigma", [0.1, "shared", "pixel", "decoder", "optimal"])
def test_gaussian_is_the_normal_density_of_the_dequantized_pixels(sigma):
    decoder = Gaussian(3, 17, sigma).eval()
    outputs = outputs_for(decoder).expand(2, -1, -1, -1)
    y = torch.tensor([[0, 5, 16]] * 4)
    scale = 0.1 if sigma == 0.1 else 0.2
    scale = scale * (outputs[:, :, 1].exp() if sigma == "decoder" else torch.ones(2, 4, 3))
    x = dequantize_uniformly(y, 17, 2, Noise(5))
    assert ((x * 17).floor() == y).all()
    expected = Normal(0.5 + 0.2 * outputs[:, :, 0], scale).log_prob(x) - np.log(17)
    torch.testing.assert_close(
        decoder.log_prob(outputs, y, Noise(5)), expected.sum(-1), rtol=1e-4, atol=1e-4
    )


def test_optimal_sigma_maximizes_the_likelihood():
    """Rybkin et al. 2021: no other single σ gives a batch a higher likelihood."""
    optimal = Gaussian(3, 17, "optimal").train()
    outputs, y = 0.1 * outputs_for(optimal, 50), torch.randint(0, 17, (50, 3))
    best = optimal.log_prob(outputs, y, Noise(1)).mean()
    for sigma in np.geomspace(0.05, 2, 60):
        assert Gaussian(3, 17, float(sigma)).log_prob(outputs, y, Noise(1)).mean() <= best + 1e-4


def test_the_uniform_density_scores_log2_levels():
    """x uniform on [0, 1)^D: log P(y) = −D log L, here as the limit of a very wide Gaussian."""
    decoder = Gaussian(4, 17, 1e4)
    y = torch.randint(0, 17, (5, 4))
    value = decoder.log_prob(torch.zeros(1, 5, 1, 4), y, Noise(0))
    log_density = -0.5 * np.log(2 * np.pi) - np.log(1e4)
    torch.testing.assert_close(value, torch.full((1, 5), 4 * (log_density - np.log(17))).float())


def test_outputs_are_in_units_of_the_training_data():
    """A new network, whose outputs are about 0, starts at each pixel's mean and spread."""
    images = torch.randint(0, 17, (5000, 3), dtype=torch.uint8)
    images[:, 0] = 4  # a pixel that never changes
    decoder = Gaussian(3, 17, "decoder")
    decoder.attach(images)
    x = dequantize_uniformly(images, 17, 40, Noise(0)).flatten(0, 1).double()
    zero = torch.zeros(1, 1, 2, 3)
    torch.testing.assert_close(
        decoder.location(zero[..., :]).view(3).double(), x.mean(0), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(decoder.data_scale[1:].double(), x.std(0)[1:], atol=1e-3, rtol=0)
    assert decoder.data_scale[0] == pytest.approx(1 / 17)


def test_bernoulli_refuses_more_levels_and_gaussian_a_bad_sigma():
    with pytest.raises(InputError, match="over 2 levels, not 17"):
        Bernoulli(3, 17)
    for sigma in (0.0, -1.0, 1e-5, float("nan"), float("inf")):
        with pytest.raises(InputError, match="not a standard deviation between"):
            Gaussian(3, 17, sigma)


def test_the_optimal_sigma_of_evaluation_is_a_running_mean_over_batches():
    """m ← 0.99 m + 0.01 e from m = 0.2², e being the mean square error of each batch."""
    decoder, expected = Gaussian(1, 256, "optimal").train(), 0.2**2
    y = torch.full((40, 1), 128, dtype=torch.uint8)
    for location in (1.5, -0.5):
        outputs = torch.full((1, 40, 1, 1), location)
        x = dequantize_uniformly(y, 256, 1, Noise(3))
        decoder.log_prob(outputs, y, Noise(3))
        expected += 0.01 * ((x - decoder.location(outputs)).square().mean().item() - expected)
    log_scale = decoder.eval().location_and_log_scale(outputs)[1]
    assert log_scale.item() == pytest.approx(0.5 * np.log(expected), abs=1e-6)
