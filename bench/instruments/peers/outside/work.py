"""Trains a peer in the peers' environment: run as a script, imports nothing of bench.

It reads what to train from stdin, as JSON, and writes a line of JSON for each epoch; the last one has
the library's own numbers for the test images, or the error.
"""

import contextlib
import importlib
import io
import json
import sys
import warnings
from collections.abc import Callable
from math import log, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Report = Callable[[int], None]


def main() -> int:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    work, answers = json.load(sys.stdin), sys.stdout
    tell = lambda answer: print(json.dumps(answer), file=answers, flush=True)
    try:
        # The libraries print what they do, to both.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            tell({"numbers": trained(work, lambda epochs: tell({"epochs": epochs}))})
    except Exception as error:
        tell({"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})
        return 1
    return 0


def trained(work: dict[str, Any], report: Report) -> dict[str, float]:
    """Train what is asked for, save its weights, and return the library's own numbers.

    Args:
        work: library, model (arguments of its ``build``), training, images (what log_prob takes),
            seed, data (a file of arrays) and out (the file of weights).
        report: Called with the number of epochs that are done.
    """
    library = importlib.import_module(f"with_{work['library']}")
    with np.load(work["data"]) as arrays:
        data = {name: arrays[name] for name in arrays}
    shape = [int(size) for size in data["shape"]]
    torch.manual_seed(work["seed"])
    model = library.build(shape, **work["model"])
    tensors = {name: torch.from_numpy(data[name]) for name in ("train", "validation", "test")}
    if hasattr(library, "train"):
        images = {name: part.float().view(-1, *shape) for name, part in tensors.items()}
        images["train"] /= int(data["largest"])
        model = library.train(model, images, work["training"], work["seed"], report)
        numbers: dict[str, float] = library.own_numbers(
            model, images["test"], work["with_likelihood"]
        )
    else:
        given = Given(work["images"], int(data["largest"]) + 1)
        skipped = plain_loop(library, model, tensors["train"], given, work["training"], report)
        numbers = {"elbo": mean_bound(library, model, tensors["test"], given)}
        if skipped:
            numbers["skipped_batches"] = skipped
    # Lightning's name for the arguments that a model is built with.
    content = {"state_dict": model.state_dict(), "hyper_parameters": work["model"]}
    partial = Path(work["out"] + ".partial")
    torch.save(content, partial)
    partial.rename(work["out"])
    return numbers


class Given:
    """What the flow is given: x = (y + u) / L with u uniform on [0, 1), or its logits.

    Args:
        images: dequantized, or logit:ALPHA for logit(α + (1 − 2α) x).
        levels: L.
    """

    def __init__(self, images: str, levels: int):
        kind, _, alpha = images.partition(":")
        if kind not in ("dequantized", "logit"):
            raise ValueError(f"images: {images} is neither dequantized nor logit:ALPHA")
        self.alpha, self.levels = float(alpha) if kind == "logit" else None, levels

    def of(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is given for y (batch, D), and its log-derivative by y (batch,), nats."""
        x = (y + torch.rand(y.shape)) / self.levels
        constant = torch.full((len(y),), -prod(y.shape[1:]) * log(self.levels))
        if self.alpha is None:
            return x, constant
        s = self.alpha + (1 - 2 * self.alpha) * x
        each = log(1 - 2 * self.alpha) - s.log() - (1 - s).log()
        return torch.logit(s), constant + each.sum(1)


# Its parameters are the parts of a training.
def plain_loop(
    library: Any, flow: Any, train: Tensor, given: Given, training: dict[str, Any], report: Report
) -> int:
    """Do the loop that the flows' documentation shows: shuffled batches, Adam, nothing else.

    Returns:
        The number of batches that were skipped, where the library's documentation skips those whose
        loss is not finite.

    Raises:
        ArithmeticError: A loss is not finite, and the documentation has no such rule.
    """
    size, skipped = training["batch_size"], 0
    optimizer = torch.optim.Adam(flow.parameters(), lr=training["learning_rate"])
    for epoch in range(training["epochs"]):
        order = torch.randperm(len(train))
        for index in order[: len(order) // size * size].split(size):
            x, _ = given.of(train[index])
            loss = library.loss(flow, x)
            if not loss.isfinite():
                skipped += 1
                if getattr(library, "SKIPS_WHAT_IS_NOT_FINITE", False):
                    continue
                raise ArithmeticError(f"the loss is {loss.item()} in epoch {epoch + 1}")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        report(epoch + 1)
    return skipped


@torch.no_grad()
def mean_bound(library: Any, flow: Any, test: Tensor, given: Given) -> float:
    """Return the mean of log p(x) + log |dx/dy| over test images, a draw of u each, nats."""
    flow.eval()
    total = 0.0
    for block in test.split(500):
        x, derivative = given.of(block)
        total += float(derivative.double().sum()) - float(library.loss(flow, x)) * len(block)
    return total / len(test)


if __name__ == "__main__":
    sys.exit(main())
