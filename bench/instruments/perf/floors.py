"""Floors: the time of a network's matrix products alone, on this machine."""

import torch
from torch import nn

from bench.instruments.perf.interleaved import Work


def layer_sizes(model: nn.Module) -> list[tuple[int, int]]:
    """Return (inputs, outputs) of every linear layer."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    return [(layer.in_features, layer.out_features) for layer in layers]


def products(sizes: list[tuple[int, int]], rows: int, backward: bool) -> Work:
    """Return a function that computes the matrix products of one pass and nothing else.

    Args:
        sizes: (inputs, outputs) of each layer.
        rows: Size of the batch.
        backward: Include the products of the backward pass: gradients of the weights, and of the
            inputs of all layers but the first.
    """
    work = []
    for position, (inputs, outputs) in enumerate(sizes):
        x, w, g = (
            torch.randn(rows, inputs),
            torch.randn(outputs, inputs),
            torch.randn(rows, outputs),
        )
        work.append((x, w.T, torch.empty(rows, outputs)))
        if backward:
            work.append((g.T, x, torch.empty(outputs, inputs)))
            if position:
                work.append((g, w, torch.empty(rows, inputs)))

    def one_pass() -> None:
        for a, b, out in work:
            torch.mm(a, b, out=out)

    return one_pass
