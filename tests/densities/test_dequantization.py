"""Dequantization, and back: which bin a number is in, and what its mean says of the level's."""

import pytest
import torch

from bench.densities.dequantization import dequantize_uniformly, expected_level, quantize
from bench.noise import Noise


class LargestNoise(Noise):
    """The largest number that a generator of float32 in [0, 1) returns."""

    def uniform(self, *shape):
        return torch.full(shape, 1 - 2.0**-24)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_no_noise_leaves_its_bin(levels):
    y = torch.arange(levels, dtype=torch.uint8)[None]
    x = dequantize_uniformly(y, levels, 1, LargestNoise(0))[0]
    # Exactly, in float64: the product in float32 rounds.
    assert torch.equal((x.double() * levels).floor(), y.double()) and (x < 1).all()
    assert torch.equal(quantize(x, levels), y.float())


def test_the_mean_of_x_tells_the_mean_level():
    """Of 1, 1 and 5 of eight levels: x has the mean (7/3 + ½) / 8. The mean of a level is one."""
    x = torch.tensor([(7 / 3 + 0.5) / 8, -0.2, 1.2])
    assert expected_level(x, 8).tolist() == pytest.approx([7 / 3, 0.0, 7.0], rel=1e-6)
