"""The encoder's normal, from what its network is shown and says."""

from math import exp

import pytest
import torch

from bench.densities.posteriors import NormalPosterior
from bench.networks.mlp import Network


class Saying(Network):
    """Says the same of every image, and remembers what it was shown."""

    def __init__(self, *outputs):
        super().__init__((4,), (len(outputs),))
        self.outputs = torch.tensor(outputs)

    def forward(self, x):
        self.shown = x
        return self.outputs.expand(len(x), -1)


def test_the_second_half_of_the_outputs_is_the_log_variance():
    """Of variances e⁻¹⁰, 1 and 9; standard deviations are bounded by e⁻⁶ and e⁶."""
    network = Saying(-1.0, 0.0, 7.0, 5.0, 6.0, -10.0, 0.0, 2 * 1.0986123, -30.0, 30.0)
    q = NormalPosterior(network, 17)(torch.zeros(2, 4, dtype=torch.uint8))
    assert q.loc.tolist() == [[-1.0, 0.0, 7.0, 5.0, 6.0]] * 2
    assert q.scale[0].tolist() == pytest.approx([exp(-5), 1.0, 3.0, exp(-6), exp(6)], rel=1e-5)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_the_network_is_shown_images_from_0_to_1(levels):
    network = Saying(0.0, 0.0)
    y = torch.tensor([[0, 1, levels - 2, levels - 1]], dtype=torch.uint8)
    NormalPosterior(network, levels)(y)
    expected = [value / (levels - 1) for value in y[0].tolist()]
    assert network.shown[0].tolist() == pytest.approx(expected, rel=1e-6)
