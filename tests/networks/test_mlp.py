import torch

from bench.networks.mlp import MLP, GatedMLP, Tanh


def test_mlp_is_its_formula():
    network = MLP((2, 3), (4,), widths=[5], activation="tanh")
    first, last = network.layers[0], network.layers[2]
    x = torch.randn(7, 6)
    hidden = torch.tanh(x @ first.weight.T + first.bias)
    torch.testing.assert_close(network(x), hidden @ last.weight.T + last.bias)


def test_gated_mlp_multiplies_value_by_gate():
    network = GatedMLP((6,), (4,), widths=[5])
    first, last = network.layers[0], network.layers[2]
    x = torch.randn(7, 6)
    value, gate = (x @ first.weight.T + first.bias).split(5, dim=-1)
    torch.testing.assert_close(network(x), (value * gate.sigmoid()) @ last.weight.T + last.bias)


def test_tanh_is_the_same_with_and_without_gradients():
    x = torch.linspace(-20, 20, 10_001)
    exact = x.double().tanh()
    with torch.no_grad():
        without = Tanh()(x)
    assert (without - exact).abs().max() < 2.4e-7
    assert (Tanh()(x.requires_grad_(True)) - exact).abs().max() < 2.4e-7
