"""Learned noise is a density on each bin, and makes a bound on the discrete log-likelihood."""

from math import isfinite, log

import pytest
import torch

from bench.configuration.job import Job
from bench.configuration.parsing import parse_run
from bench.densities.variational_dequantization import (
    ConvolutionalDequantization,
    VariationalDequantization,
    repeated_images,
)
from bench.errors import InputError
from bench.estimators.evidence import importance_weighted_bound
from bench.models.convolutional_realnvp import ConvolutionalRealNVP
from bench.models.realnvp import RealNVP
from bench.models.variational_convolutional_realnvp import VariationalConvolutionalRealNVP
from bench.models.variational_realnvp import VariationalRealNVP
from bench.noise import Noise
from bench.runs.run import run


def random_noise(shape=(1, 1, 2), levels=3, couplings=3, mask="half", std=0.5):
    torch.manual_seed(0)
    module = VariationalDequantization(shape, levels, couplings, [8], mask)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return module


def random_model(levels=3, alpha=1e-3):
    torch.manual_seed(1)
    options = dict(couplings=3, widths=[8], mask="half", alpha=alpha)
    model = VariationalRealNVP(
        (1, 1, 2), levels, **options, dequantization_couplings=3, dequantization_widths=[8]
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def density(module, u, y):
    """Return log r(u|y): the noise behind u, by inverting the couplings, and its density."""
    v = u.logit()
    context = repeated_images(v, y, module.levels)
    parts = [v[..., module.parts.first], v[..., module.parts.second]]
    for i in reversed(range(len(module.couplings))):
        given, changed = i % 2, 1 - i % 2
        seen = torch.cat([parts[given], context], dim=-1)
        parts[changed] = module.couplings[i].inverse(seen, parts[changed])
    epsilon = torch.cat(parts, dim=-1)[..., module.parts.order]
    again, value = module.transform(epsilon, y)
    torch.testing.assert_close(again, u, atol=1e-4, rtol=0)
    return value


def all_images(levels):
    return torch.cartesian_prod(torch.arange(levels), torch.arange(levels)).to(torch.uint8)


@torch.no_grad()
def test_the_noise_has_a_density_of_mass_one():
    """∫ r(u|y) du over the square, by the midpoint rule in v = logit u, for every image."""
    module = random_noise()
    y, edge = all_images(3), 9.5  # σ(±9.5) is 7e-5 from the ends, where u is not clamped yet
    drawn, _ = module(y, 50_000, Noise(3))
    outside = (drawn.double().logit().abs() > edge).any(-1).double().mean(0)
    assert (outside < 0.05).all()
    module = module.double()
    side = (torch.arange(380).double() + 0.5) / 20 - edge
    v = torch.cartesian_prod(side, side)
    u = v.sigmoid()[:, None].expand(-1, 9, -1)
    log_r = density(module, u, y)
    log_slope = (v.sigmoid() * (-v).sigmoid()).log().sum(-1, keepdim=True)
    total = (log_r + log_slope).exp().sum(0) / 20**2
    torch.testing.assert_close(total + outside, torch.ones(9).double(), atol=3e-3, rtol=0)
    assert (log_r[:, 0] - log_r[:, 8]).abs().max() > 0.1  # it does depend on the image


@pytest.mark.parametrize("mask", ["checkerboard", "half"])
@pytest.mark.parametrize("couplings", [2, 3])
def test_log_density_is_that_of_the_jacobian(mask, couplings):
    module = random_noise((1, 2, 3), 17, couplings, mask, std=0.3).double()
    y = torch.randint(0, 17, (5, 6))
    epsilon = torch.randn(1, 5, 6, dtype=torch.float64)
    u, log_r = module.transform(epsilon, y)
    for row in range(5):
        of_row = lambda e, row=row: module.transform(e[None, None], y[row : row + 1])[0][0, 0]
        jacobian = torch.autograd.functional.jacobian(of_row, epsilon[0, row])
        e = epsilon[0, row].sigmoid()
        expected = (e * (1 - e)).log().sum() - torch.linalg.slogdet(jacobian)[1]
        torch.testing.assert_close(log_r[0, row], expected)


def test_log_density_of_convolutional_noise_is_that_of_the_jacobian():
    torch.manual_seed(0)
    module = ConvolutionalDequantization((2, 2, 3), 17, 3, 4, 1).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    y = torch.randint(0, 17, (2, 12))
    epsilon = torch.randn(3, 2, 12, dtype=torch.float64)
    u, log_r = module.transform(epsilon, y)
    for sample, row in ((0, 0), (2, 1)):
        of_row = lambda e, row=row: module.transform(e[None, None], y[row : row + 1])[0][0, 0]
        torch.testing.assert_close(of_row(epsilon[sample, row]), u[sample, row])
        jacobian = torch.autograd.functional.jacobian(of_row, epsilon[sample, row])
        e = epsilon[sample, row].sigmoid()
        expected = (e * (1 - e)).log().sum() - torch.linalg.slogdet(jacobian)[1]
        torch.testing.assert_close(log_r[sample, row], expected)
    other, _ = module.transform(epsilon, (y + 5) % 17)
    assert (other - u).abs().amax(-1).min() > 1e-3  # it does depend on the image


@torch.no_grad()
def test_a_new_convolutional_model_has_the_bound_of_uniform_dequantization():
    options = dict(scales=2, couplings=1, channels=4, blocks=1)
    plain = ConvolutionalRealNVP((1, 4, 4), 17, **options)
    learned = VariationalConvolutionalRealNVP((1, 4, 4), 17, **options)
    images = torch.randint(0, 17, (40, 16), dtype=torch.uint8)
    plain.attach(images), learned.attach(images)
    ours, theirs = (m.terms(images, Noise(0), 3).elbo for m in (learned, plain))
    torch.testing.assert_close(ours, theirs, atol=1e-2, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("std", [0.1, 3.0])
def test_noise_stays_inside_its_bin(levels, std):
    """Also where couplings blow up and the sigmoid saturates."""
    module = random_noise((1, 2, 3), levels, 4, "checkerboard", std)
    y = torch.randint(0, levels, (200, 6))
    y[0], y[1] = 0, levels - 1
    u, log_r = module(y, 50, Noise(0))
    assert u.shape == (50, 200, 6) and log_r.shape == (50, 200)
    assert (u > 0).all() and (u < 1).all() and torch.isfinite(log_r).all()
    x = (y + u) / levels
    # In float64, because x · L rounds in float32.
    assert (x.double() * levels > y - 1e-4).all() and (x.double() * levels < y + 1).all()
    assert (x >= 0).all() and (x < 1).all()


@torch.no_grad()
def test_new_noise_is_uniform():
    module = VariationalDequantization((1, 4, 4), 17, 4, [8], "checkerboard")
    u, log_r = module(torch.randint(0, 17, (30, 16)), 7, Noise(2))
    uniform = Noise(2).uniform(7, 30, 16)
    torch.testing.assert_close(u, uniform, atol=1e-4, rtol=0)
    torch.testing.assert_close(log_r, torch.zeros(7, 30), atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_new_model_has_the_bound_of_uniform_dequantization():
    arguments = ((1, 4, 4), 17, 2, [8])
    torch.manual_seed(5)
    plain = RealNVP(*arguments)
    torch.manual_seed(5)
    learned = VariationalRealNVP(*arguments, dequantization_widths=[8])
    images = torch.randint(0, 17, (40, 16), dtype=torch.uint8)
    plain.attach(images), learned.attach(images)
    ours, theirs = (m.terms(images, Noise(0), 3).elbo for m in (learned, plain))
    torch.testing.assert_close(ours, theirs, atol=1e-2, rtol=0)


@torch.no_grad()
def test_bounds_sum_to_at_most_one_over_all_images():
    """Σ_y exp L_K(y) estimates Σ_y P(y) = ∫ p(x) dx ≤ 1: the bounds are bounds, and close."""
    model, levels = random_model(), 3
    y = all_images(levels)
    value, variance = importance_weighted_bound(model, y, 10_000, 0, "test")
    total = value.exp().sum().item()
    error = ((2 * value).exp() * variance).sum().sqrt().item()
    assert error < 0.02
    assert total <= 1 + 5 * error
    # The flow's own mass on [0, 1)², by quadrature, which r does not enter: the same number.
    cells = 180
    side = (torch.arange(cells) + 0.5) / cells
    flow = model.realnvp
    logits, derivative = flow.preprocessing(torch.cartesian_prod(side, side))
    z, determinant = flow.flow(flow.standardization(logits)[0])
    log_density = derivative + determinant - 0.5 * (z.square() + log(2 * torch.pi)).sum(-1)
    mass = log_density.double().exp().mean().item()
    assert total == pytest.approx(mass, abs=5 * error + 5e-3)
    # And L_1 ≤ L_10 ≤ log P, image by image, but for noise.
    elbo = model.terms(y, Noise(7), 10_000).elbo.double()
    noise = 5 * (elbo.std(0) / 100 + variance.sqrt())
    assert (elbo.mean(0) <= value + noise).all()
    ten = elbo.view(1000, 10, 9).logsumexp(1) - log(10)
    assert (elbo.mean(0) <= ten.mean(0) + 1e-9).all()
    assert (ten.mean(0) <= value + 5 * (ten.std(0) / 1000**0.5 + variance.sqrt())).all()


def test_learned_noise_tightens_the_bound():
    """With the flow held fixed, training r alone raises the ELBO, and not above log P."""
    model = random_model(alpha=0.05)
    for parameter in model.dequantization.parameters():
        torch.nn.init.zeros_(parameter) if parameter.ndim > 1 else None
    y = all_images(3)
    with torch.no_grad():
        evidence, variance = importance_weighted_bound(model, y, 5000, 1, "evidence")
        before = model.terms(y, Noise(1), 4000).elbo.mean(0)
    optimizer = torch.optim.Adam(model.dequantization.parameters(), 0.01)
    for step in range(300):
        optimizer.zero_grad()
        (-model.terms(y, Noise(step), 30).elbo.mean()).backward()
        optimizer.step()
    with torch.no_grad():
        after = model.terms(y, Noise(1), 4000).elbo.mean(0)
    assert after.mean() > before.mean() + 0.02
    assert (after <= evidence + 5 * variance.sqrt() + 0.02).all()


def test_a_short_training_gives_finite_numbers(tmp_path):
    options = (
        "--trainer.max_epochs=4 --trainer.validate_every=2 --trainer.learning_rate=2e-3 "
        "--evaluation.importance_samples=12 --model.widths=[16] --model.couplings=2 "
        "--model.dequantization_widths=[16] --model.dequantization_couplings=2"
    )
    words = ["--data", "digits-17", "--model", "variational_realnvp", *options.split()]
    record = run(Job(parse_run(words), "variational_realnvp", "test", str(tmp_path), "disabled"))
    assert record["status"] == "ok", record
    for split in ("train", "test"):
        columns = {name: e["value"] for name, e in record["metrics"][split].items()}
        assert all(isfinite(value) for value in columns.values())
        assert columns["log_likelihood"] >= columns["elbo"]
        assert columns["bits_per_dim"] < log(17, 2)
        assert columns["mutual_information"] == columns["log_n"] and "kl" not in columns
    elbos = [epoch["validation_elbo"] for epoch in record["history"]]
    assert elbos[-1] > elbos[0]


def test_too_few_couplings_are_refused():
    for model in (VariationalRealNVP, VariationalConvolutionalRealNVP):
        with pytest.raises(InputError, match="dequantization_couplings: 1 would leave"):
            model((1, 8, 8), 17, dequantization_couplings=1)
