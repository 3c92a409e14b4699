import pytest
import torch

from bench.densities.flows import LogitPreprocessing
from bench.densities.multiscale import (
    MultiScaleFlow,
    factor_out,
    join_factored,
    squeeze,
    unsqueeze,
)
from bench.errors import InputError

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32)]


def random_flow(shape, scales, couplings=2, std=0.3):
    torch.manual_seed(0)
    flow = MultiScaleFlow(shape, scales, couplings, channels=4, blocks=1)
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return flow


@pytest.mark.parametrize("couplings", [1, 2, 3])
@pytest.mark.parametrize(
    "shape, scales",
    [((1, 4, 4), 1), ((1, 4, 4), 2), ((3, 4, 4), 2), ((1, 8, 4), 3), ((1, 6, 6), 2)],
)
def test_log_determinant_is_the_jacobians(shape, scales, couplings):
    flow = random_flow(shape, scales, couplings, std=0.6).double()
    x = torch.randn(3, torch.Size(shape).numel(), dtype=torch.float64)
    _, ours = flow(x)
    assert ours.abs().max() > 0.1  # else the flow would be too near to the identity to tell
    for row, value in zip(x, ours):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow(v)[0], row)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], value)
        # Every pixel is changed by something: no row of the Jacobian is the identity's.
        distance = (jacobian - torch.eye(len(row), dtype=torch.float64)).abs().sum(1)
        assert (distance > 1e-6).all()


@torch.no_grad()
@pytest.mark.parametrize("shape", SHAPES)
def test_inverse_in_float32_over_all_pixel_values(shape):
    flow = random_flow(shape, 3, couplings=3, std=0.2)
    preprocessing = LogitPreprocessing(0.05)
    for levels in (2, 256):
        values = torch.linspace(0, 1 - 1 / levels, levels)
        # Images in which all values meet: every image holds them shuffled.
        choice = torch.randint(levels, (8, torch.Size(shape).numel()))
        choice[:, : min(levels, choice.shape[1])] = torch.arange(levels)[: choice.shape[1]]
        pixels = values[choice]
        z, log_determinant = flow(preprocessing(pixels)[0])
        assert log_determinant.abs().min() > 0.1
        assert (preprocessing.inverse(flow.inverse(z)) - pixels).abs().max() < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
def test_a_new_flow_is_the_identity(shape):
    """So every dimension comes out once, and where it went in."""
    flow = MultiScaleFlow(shape, 3, 2, channels=4, blocks=1)
    x = torch.randn(3, torch.Size(shape).numel())
    z, log_determinant = flow(x)
    assert torch.equal(z, x) and torch.equal(log_determinant, torch.zeros(3))
    assert torch.equal(flow.inverse(z), x)
    assert torch.equal(flow.places.sort()[0], torch.arange(x.shape[1]))


def test_a_new_flow_learns():
    """The zero weights of the last layers have gradients, and after a step so has all the rest."""
    flow = MultiScaleFlow((1, 8, 8), 2, 2, channels=4, blocks=1)
    optimizer = torch.optim.Adam(flow.parameters(), 0.01)
    for _ in range(3):
        z, log_determinant = flow(2 * torch.randn(20, 64) + 1)
        optimizer.zero_grad()
        (0.5 * z.square().sum(-1) - log_determinant).mean().backward()
        optimizer.step()
    assert all(p.grad.abs().sum() > 0 for p in flow.parameters())


def test_half_of_the_dimensions_are_done_at_each_scale_but_the_last():
    flow = MultiScaleFlow((1, 28, 28), 3, 1, channels=4, blocks=1)
    assert flow.part_shapes == [(2, 14, 14), (4, 7, 7), (4, 7, 7)]
    counts = [(len(scale.checkerboard), len(scale.channelwise)) for scale in flow.scales]
    assert counts == [(1, 1), (1, 1), (2, 0)]


def test_masks_alternate():
    scale = MultiScaleFlow((1, 4, 4), 2, 3, channels=4, blocks=1).scales[0]
    assert [coupling.given for coupling in scale.channelwise] == [0, 1, 0]
    assert [coupling.given[0, 0, 0].item() for coupling in scale.checkerboard] == [1, 0, 1]


def test_leading_dimensions_are_rows():
    flow = random_flow((1, 4, 4), 2)
    x = torch.randn(2, 3, 16)
    z, log_determinant = flow(x)
    rows, values = flow(x.flatten(0, 1))
    torch.testing.assert_close(z, rows.unflatten(0, (2, 3)))
    torch.testing.assert_close(log_determinant, values.unflatten(0, (2, 3)))
    torch.testing.assert_close(flow.inverse(z), x, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(flow(x[0, 0])[0], z[0, 0])


def test_squeezing_is_by_squares_and_factoring_by_diagonals():
    images = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    squeezed = squeeze(images)
    assert torch.equal(unsqueeze(squeezed), images)
    corners = [images[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
    assert torch.equal(squeezed, torch.cat(corners, dim=1))
    kept, done = factor_out(squeezed)
    assert torch.equal(kept, torch.cat([corners[0], corners[3]], dim=1))
    assert torch.equal(join_factored(kept, done), squeezed)


BAD = [
    ((1, 28, 28), 4, "scales: an image of 28 × 28 pixels cannot be halved 3 times"),
    ((1, 4, 4), 3, "keep 2 pixels"),
    ((16,), 1, "not channels, height and width"),
    ((1, 8, 8), 0, "scales: 0 is less than 1"),
]


@pytest.mark.parametrize("shape, scales, message", BAD)
def test_bad_scales_are_refused(shape, scales, message):
    with pytest.raises(InputError, match=message):
        MultiScaleFlow(shape, scales, 2, 4, 1)


@pytest.mark.parametrize("couplings, channels, blocks", [(0, 4, 1), (2, 0, 1), (2, 4, 0)])
def test_sizes_below_one_are_refused(couplings, channels, blocks):
    with pytest.raises(InputError, match="0 is less than 1"):
        MultiScaleFlow((1, 8, 8), 2, couplings, channels, blocks)
