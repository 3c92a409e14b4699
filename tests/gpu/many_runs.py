"""Parts `captured` and `stacked`: steps replayed as one graph, and many runs trained as one model."""

from collections.abc import Callable

import torch

from bench.configuration.models import build_model
from bench.data.tasks import TaskData, load_task, task_of
from bench.models.terms import Model
from bench.records.types import Config
from tests.gpu.lines import Check
from tests.gpu.recipes import mnist_recipes

# Takes a number of steps.
Steps = Callable[[int], object]
# (model on the card, its data, its configuration) → its steps.
OneRun = Callable[[Model, TaskData, Config], Steps]
# (the models of several seeds on the card, their data, their configurations) → their steps together.
ManyRuns = Callable[[list[Model], TaskData, list[Config]], Steps]
STACKED = (1, 2, 4, 8, 16)


def captured(check: Check, prepare: OneRun) -> None:
    """Time the steps of every MNIST recipe that ``prepare`` captures."""
    for name, config in mnist_recipes(check.dry).items():
        with check.caught("captured", model=name):
            data, (model,) = on_the_card(check, [config])
            check.say("captured", model=name, ms=milliseconds(check, prepare(model, data, config)))


def stacked(check: Check, prepare: ManyRuns) -> None:
    """Time a step of 1 to 16 seeds of a recipe that are trained as one model."""
    for name, config in mnist_recipes(check.dry).items():
        for number in STACKED[:2] if check.dry else STACKED:
            with check.caught("stacked", model=name, runs=number):
                configs = [config | {"seed": seed} for seed in range(1, number + 1)]
                data, models = on_the_card(check, configs)
                check.forget_peak()
                ms = milliseconds(check, prepare(models, data, configs))
                check.say(
                    "stacked",
                    model=name,
                    runs=number,
                    ms=ms,
                    steps_a_second=1e3 * number / ms,
                    peak_mib=check.peak_mib(),
                )


def on_the_card(check: Check, configs: list[Config]) -> tuple[TaskData, list[Model]]:
    """Return the data of these configurations, which have one task, and a new model of each."""
    data = load_task(task_of(configs[0]))
    models = []
    for config in configs:
        model = build_model(config, data.shape, data.task.levels).to(check.device).train()
        model.attach(data.train.to(check.device))
        models.append(model)
    return data, models


def milliseconds(check: Check, steps: Steps) -> float:
    """Return the time of a step, after a warm-up."""
    torch.use_deterministic_algorithms(True)
    count = 2 if check.dry else 100
    steps(count)
    return 1e3 * check.seconds_of(lambda: steps(count)) / count
