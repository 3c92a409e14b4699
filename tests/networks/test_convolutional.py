import pytest
import torch

from bench.errors import InputError
from bench.networks.convolutional import ResidualBlock, ResidualConvolutional, doubling, image_shape

IMAGES = [(1, 8, 8), (1, 28, 28), (3, 32, 32)]


def dimensions(image):
    return image[0] * image[1] * image[2]


def small(inputs, outputs):
    torch.manual_seed(0)
    return ResidualConvolutional(inputs, outputs, channels=4, blocks=1)


@pytest.mark.parametrize("leading", [(3,), (2, 3), ()])
@pytest.mark.parametrize("image", IMAGES)
def test_shapes_both_ways(image, leading):
    encoder, decoder = small(image, (10,)), small((5,), (2, dimensions(image)))
    assert encoder(torch.rand(*leading, dimensions(image))).shape == (*leading, 10)
    assert decoder(torch.randn(*leading, 5)).shape == (*leading, 2 * dimensions(image))


def test_leading_dimensions_are_rows():
    encoder, decoder = small((3, 8, 8), (10,)), small((5,), (2, 192))
    for network, x in ((encoder, torch.rand(2, 3, 192)), (decoder, torch.randn(2, 3, 5))):
        rows = torch.stack([torch.stack([network(row) for row in part]) for part in x])
        torch.testing.assert_close(network(x), rows)


@pytest.mark.parametrize("image", IMAGES)
def test_a_row_does_not_depend_on_its_mates(image):
    networks = (
        (small(image, (6,)), torch.rand(4, dimensions(image))),
        (small((5,), (2, dimensions(image))), torch.randn(4, 5)),
    )
    for network, x in networks:
        others = torch.cat([x[:1], 100 * torch.randn_like(x[1:])])
        torch.testing.assert_close(network.train()(x)[0], network(others)[0])
        x.requires_grad_()
        gradient = torch.autograd.grad(network(x)[0].sum(), x)[0]
        assert gradient[0].abs().sum() > 0 and not gradient[1:].any()


def test_outputs_are_ordered_parameter_channel_row_column():
    """Two parameters of one pixel come from the same place of the image, the channels apart."""
    decoder = small((5,), (2, 3 * 8 * 8))
    maps = []
    decoder.layers[-1].register_forward_hook(lambda module, given, made: maps.append(given[0]))
    outputs = decoder(torch.randn(1, 5)).unflatten(-1, (2, 3, 8, 8))
    for parameter in range(2):
        for channel in range(3):
            assert torch.equal(outputs[0, parameter, channel], maps[0][0, 3 * parameter + channel])


def test_an_encoder_sees_the_image_as_channel_row_column():
    encoder = small((3, 8, 8), (4,))
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(encoder.layers[0](images.flatten(1)), images)


def test_a_residual_block_is_its_formula():
    block = ResidualBlock(3)
    x = torch.randn(2, 3, 5, 5)
    inside = torch.nn.functional.elu(block.first(torch.nn.functional.elu(x)))
    torch.testing.assert_close(block(x), x + block.second(inside))


def test_an_upsampling_convolution_has_a_length_for_each_of_its_outputs():
    """Salimans & Kingma 2016, eq. 2: w = g v/‖v‖ for each unit that a layer computes."""
    layer = doubling(3, 5)
    direction = layer.parametrizations.weight.original1
    assert layer.weight.shape == (3, 5, 4, 4)
    with torch.no_grad():
        direction.copy_(torch.randn_like(direction))
        length = layer.parametrizations.weight.original0
        length.copy_(torch.arange(1.0, 1 + length.numel()).view_as(length))
    lengths = layer.weight.square().sum((0, 2, 3)).sqrt()
    torch.testing.assert_close(lengths, torch.arange(1.0, 6))


def test_the_image_is_known_by_its_dimensions():
    assert [image_shape(n) for n in (64, 784, 3072)] == IMAGES


BAD = [
    ((1, 30, 30), (4,), "divisible by 4"),
    ((1, 28, 32), (4,), "not square"),
    ((2, 28, 28), (4,), "1 or 3 channels"),
    ((1, 0, 0), (4,), "divisible by 4"),
    ((784,), (4,), r"not \(784,\)"),
    ((4,), (2, 50), "not a square image"),
    ((4,), (2, 900), "divisible by 4"),
    ((1, 28, 28), (2, 784), "maps"),
]


@pytest.mark.parametrize("inputs, outputs, message", BAD)
def test_bad_shapes_are_refused(inputs, outputs, message):
    with pytest.raises(InputError, match=message):
        ResidualConvolutional(inputs, outputs)


@pytest.mark.parametrize("option", ["channels", "blocks"])
def test_sizes_below_one_are_refused(option):
    with pytest.raises(InputError, match=f"{option}: 0 is less than 1"):
        ResidualConvolutional((1, 8, 8), (4,), **{option: 0})
