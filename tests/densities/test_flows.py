import numpy as np
import pytest
import torch

from bench.densities.flows import (
    CouplingFlow,
    LogitPreprocessing,
    Standardization,
    split_dimensions,
)
from bench.errors import InputError
from bench.noise import Noise


def random_flow(shape=(1, 3, 2), couplings=4, mask="checkerboard", shift="after_scaling"):
    torch.manual_seed(0)
    flow = CouplingFlow(shape, couplings, [8], mask, shift).double()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return flow


SHIFTS = ["after_scaling", "before_scaling"]


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("mask", ["checkerboard", "half"])
@pytest.mark.parametrize("couplings", [1, 2, 3, 4])
def test_log_determinant_is_the_jacobians(mask, couplings, shift):
    flow = random_flow(couplings=couplings, mask=mask, shift=shift)
    x = torch.randn(5, 6, dtype=torch.float64)
    _, ours = flow(x)
    for row, value in zip(x, ours):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow(v)[0], row)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], value)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("mask", ["checkerboard", "half"])
@pytest.mark.parametrize("couplings", [2, 3])
def test_inverse_in_float32_over_all_pixel_values(mask, couplings, shift):
    flow = random_flow(couplings=couplings, mask=mask, shift=shift).float()
    preprocessing = LogitPreprocessing(0.05)
    for levels in (2, 256):
        pixels = torch.linspace(0, 1 - 1 / levels, levels)[:, None].expand(-1, 6)
        z, _ = flow(preprocessing(pixels)[0])
        back = preprocessing.inverse(flow.inverse(z))
        assert (back - pixels).abs().max() < 1e-5


def test_a_new_flow_is_the_identity():
    flow = CouplingFlow((1, 4, 4), 4, [8], "checkerboard")
    x = torch.randn(3, 16)
    z, log_determinant = flow(x)
    assert torch.equal(z, x) and torch.equal(log_determinant, torch.zeros(3))


def test_logit_derivative_is_autograds():
    preprocessing = LogitPreprocessing(0.01)
    x = torch.rand(4, 3, dtype=torch.float64)
    _, ours = preprocessing(x)
    for row, value in zip(x, ours):
        jacobian = torch.autograd.functional.jacobian(lambda v: preprocessing(v)[0], row)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], value)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 4), (5,)])
@pytest.mark.parametrize("mask", ["checkerboard", "half"])
def test_masks_split_every_dimension_once(shape, mask):
    first, second = split_dimensions(shape, mask)
    assert torch.equal(torch.cat([first, second]).sort()[0], torch.arange(int(np.prod(shape))))
    assert abs(len(first) - len(second)) <= 1


def test_a_checkerboard_alternates_along_rows_and_columns():
    first, second = split_dimensions((1, 4, 4), "checkerboard")
    assert first.tolist() == [0, 2, 5, 7, 8, 10, 13, 15]
    first, second = split_dimensions((2, 1, 4), "checkerboard")
    assert (first.tolist(), second.tolist()) == ([0, 2, 5, 7], [1, 3, 4, 6])
    assert split_dimensions((1, 2, 2), "half")[0].tolist() == [0, 1]


def test_standardization_is_by_mean_and_deviation_and_its_determinant_the_jacobians():
    layer = Standardization(3).double()
    layer.set(torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.5, 4.0, 10.0]))
    x = torch.tensor([2.0, 2.0, 0.5], dtype=torch.float64)
    ours, determinant = layer(x)
    assert ours.tolist() == pytest.approx([2.0, 1.0, 0.0], abs=1e-6)
    jacobian = torch.autograd.functional.jacobian(lambda v: layer(v)[0], x)
    torch.testing.assert_close(determinant, torch.linalg.slogdet(jacobian)[1])
    torch.testing.assert_close(layer.inverse(ours), x)


def test_one_dimension_cannot_be_split():
    with pytest.raises(InputError, match="cannot be split"):
        split_dimensions((1,), "half")


def test_density_of_a_flow_integrates_to_one():
    from bench.densities.priors import FlowDensity

    density = FlowDensity(random_flow((2,), 3, "half").float(), 2)
    side = torch.linspace(-12, 12, 801)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        total = density.log_prob(grid).exp().double().sum() * (24 / 800) ** 2
    assert abs(total - 1) < 2e-3
    values = density.log_prob(density.sample(20_000, Noise(1))).detach().double()
    probability = density.log_prob(grid).detach().double()
    entropy = -(probability.exp() * probability).sum() * (24 / 800) ** 2
    assert abs(values.mean() + entropy) < 4.5 * values.std() / 20_000**0.5 + 5e-3
