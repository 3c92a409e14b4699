"""Part `correctness`: every model on the CPU and on the card, with the same weights and noise."""

import copy
from typing import Any

import torch

from bench.configuration.models import build_model
from bench.data.tasks import TaskData, load_task, task_of
from bench.models.terms import Model
from bench.noise import Noise
from bench.records.types import Config
from bench.runs.run import evaluate_model
from tests.gpu.lines import Check
from tests.gpu.recipes import COLOURED, coloured_images, model_names, small_config

# Largest difference of a number, relative to its size (or to 1), with full float32 products.
TOLERANCE = 2e-4
# Images whose terms and gradients are compared.
IMAGES = 100


class HostNoise:
    """The numbers that a CPU draws, on another device."""

    rank, world = 0, 1

    def __init__(self, *seed: int | str, device: torch.device):
        self.noise, self.device = Noise(*seed), device

    def __getattr__(self, name: str) -> Any:
        draw = getattr(self.noise, name)
        return lambda *shape: draw(*shape).to(self.device)


def correctness(check: Check) -> None:
    for name in model_names():
        with check.caught("correctness", model=name):
            compare(check, name)


def compare(check: Check, name: str) -> None:
    """Compare a model's numbers with TF32 as the benchmark leaves it, and with it switched off."""
    config = small_config(name)
    data = coloured_images() if name in COLOURED else load_task(task_of(config))
    made = moved(build_model(config, data.shape, data.task.levels), data)
    expected = numbers_of(made, data, config, torch.device("cpu"))
    before = torch.backends.cudnn.allow_tf32
    try:
        for tf32 in (before, False) if not check.dry else (False,):
            torch.backends.cudnn.allow_tf32 = tf32
            found = numbers_of(made, data, config, check.device)
            worst, where = worst_difference(found, expected)
            check.say(
                "correctness",
                model=name,
                tf32_of_convolutions=tf32,
                numbers=len(expected),
                worst_relative_difference=worst,
                where=where,
                good=worst <= TOLERANCE,
            )
    finally:
        torch.backends.cudnn.allow_tf32 = before


def moved(model: Model, data: TaskData) -> Model:
    """Return a model that is neither fresh nor at a special point: fitted, or moved at random."""
    if hasattr(model, "fit"):
        model.fit(data.train)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return model


def numbers_of(
    made: Model, data: TaskData, config: Config, device: torch.device
) -> dict[str, float]:
    """Return {name: number}: the loss, the norm of each gradient, and all numbers of a record."""
    torch.use_deterministic_algorithms(True)
    torch.set_float32_matmul_precision("highest")
    model = copy.deepcopy(made).to(device)
    model.attach(data.train.to(device))
    numbers = {}
    if any(parameter.requires_grad for parameter in model.parameters()):
        y = data.train[:IMAGES].to(device)
        index = torch.arange(len(y), device=device)
        noise: Any = HostNoise("GPU check", device=device)
        loss = -model.objective(model.train().terms(y, noise, 1, index), 1.0).mean()
        loss.backward()
        numbers["loss"] = loss.item()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                numbers[f"gradient of {name}"] = parameter.grad.double().norm().item()
    if data.shape[0] == 1:  # the others are too slow on a CPU
        model.zero_grad()
        metrics, _ = evaluate_model(model, data, config, device.type, lambda *_: None)
        for split, columns in metrics.items():
            numbers |= {f"{split} {name}": each["value"] for name, each in columns.items()}
    return numbers


def worst_difference(
    found: dict[str, float], expected: dict[str, float]
) -> tuple[float, str | None]:
    """Return the largest difference relative to the expected number, or to 1, and where it is."""
    assert found.keys() == expected.keys()
    differences = {
        name: abs(found[name] - value) / max(1.0, abs(value)) for name, value in expected.items()
    }
    worst = max(differences, key=differences.__getitem__, default=None)
    return (differences[worst] if worst else 0.0), worst
