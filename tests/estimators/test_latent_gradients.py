"""Log-densities with their gradients against automatic differentiation in float64."""

import pytest
import torch

from bench.densities.flows import CouplingFlow
from bench.densities.normal import DiagonalNormal, NormalMixture, uniform_mixture
from bench.densities.priors import FlowDensity, StandardNormalDensity
from bench.estimators.annealing import automatic
from bench.estimators.latent_gradients import NearMixture, diagonal_normal, value_and_gradient


def mixture(components, log_scale=-1.0, spread=0.3, latent=3):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    scales = log_scale + spread * draw(components, latent)
    weights = draw(components).log_softmax(0)
    return NormalMixture(DiagonalNormal(draw(components, latent), scales), weights), draw


def agree(ours, density, z, tolerance=1e-3):
    value, gradient = ours(z)
    exact, slope = automatic(density)(z.double())
    assert value.shape == z.shape[:-1] and gradient.shape == z.shape and value.dtype == z.dtype
    torch.testing.assert_close(value.double(), exact, atol=tolerance, rtol=1e-5)
    torch.testing.assert_close(gradient.double(), slope, atol=tolerance, rtol=1e-4)


@pytest.mark.parametrize("components", [5, 600, 5000])
@pytest.mark.parametrize("log_scale, spread", [(-1.0, 0.3), (-1.0, 0.0), (-6.0, 0.1)])
def test_a_mixture_of_any_size_and_width(components, log_scale, spread):
    """In one block and in several; with a σ in common; with narrow components, which need float64."""
    own, draw = mixture(components, log_scale, spread)
    z = own.components.loc[torch.arange(24).reshape(4, 6) % components] + 0.01 * draw(4, 6, 3)
    agree(value_and_gradient(own), own.log_prob, z, 1e-3 if log_scale > -5 else 0.2)
    agree(value_and_gradient(own), own.log_prob, z.double(), 1e-3)


def test_a_normal_a_standard_normal_and_a_flow():
    own, draw = mixture(6)
    z = draw(4, 6, 3)
    agree(diagonal_normal(own.components), own.components.log_prob, z)
    normal = StandardNormalDensity(3)
    agree(value_and_gradient(normal), normal.log_prob, z)
    flow = CouplingFlow((3,), 2, [4], "half")
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    density = FlowDensity(flow, 3)
    value, gradient = value_and_gradient(density)(z)
    step = torch.zeros(3).index_fill(0, torch.tensor(1), 1e-2)
    slope = (density.log_prob(z + step) - density.log_prob(z - step)) / 2e-2
    torch.testing.assert_close(gradient[..., 1], slope, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(value, density.log_prob(z))


def test_components_near_a_datum_are_a_part_of_the_mixture_and_nearly_all_of_it_there():
    own, draw = mixture(3000, log_scale=-2.0)
    places = own.components.loc[:6]
    draws = places + 0.1 * draw(8, 6, 3)
    few, many = (NearMixture(own.table, draws, count) for count in (3, 400))
    z = places + 0.1 * draw(5, 6, 3)
    whole = own.log_prob(z)
    assert (few(z)[0] < whole).all() and (many(z)[0] <= whole + 1e-4).all()
    assert (whole - many(z)[0]).max() < 0.01 < (whole - few(z)[0]).max()
    exact = NearMixture(own.table, draws.double(), 3)
    steps = 1e-4 * torch.eye(3).double()
    for step, gradient in zip(steps, few(z)[1].unbind(-1)):
        slope = (exact(z + step)[0] - exact(z - step)[0]) / 2e-4
        torch.testing.assert_close(gradient.double(), slope, atol=1e-2, rtol=1e-3)


def test_a_mixture_of_one_weight_is_its_normal():
    own = uniform_mixture(DiagonalNormal(torch.ones(1, 2), torch.zeros(1, 2)))
    value, gradient = value_and_gradient(own)(torch.zeros(1, 1, 2))
    assert value.item() == pytest.approx(-1 - 1.8378770664, abs=1e-6)
    assert gradient.flatten().tolist() == [1, 1]
