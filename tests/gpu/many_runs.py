"""Parts `captured` and `stacked`: steps replayed as one graph, and many runs trained as one network."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from statistics import median
from unittest.mock import patch

from bench.configuration.models import build_model
from bench.data.tasks import load_task, task_of
from bench.models.terms import Model
from bench.records.types import Config
from bench.settings import trainer_config
from bench.training.many_steps import BATCHES_AT_ONCE
from bench.training.stacked import why_not_stacked
from bench.training.together import Together
from bench.training.turns import Turns
from tests.gpu.lines import Check
from tests.gpu.recipes import mnist_recipes
from tests.gpu.steps import clocked
from tests.gpu.training import Visit, train
from tests.recorded_graph import recorded_graphs

# Groups of steps that are not timed, in one of which the steps are captured, and those that are.
WARM, TIMED = 2, 4
STACKED = (1, 2, 4, 8, 16)
# Largest difference of weights that rounding explains after so many steps of Adam, each of which
# moves a weight by at most the learning rate, 1e-3 and less; other gradients lead ten times as far.
ROUNDING = 0.02
# Recipes of a dry run.
DRY = ("mnist-dynamic gated_vae", "mnist-256 realnvp")
# The recipe that is stacked to the end; the others are stacked by five, as the seeds of a table.
MAIN, SEEDS = "mnist-dynamic gated_vae", 5


def captured(check: Check) -> None:
    """Time the steps of every MNIST recipe one operation at a time, and as one graph."""
    for name, config in recipes(check).items():
        with check.caught("captured", model=name):
            with patch("bench.training.together.has_graphs", lambda device: False):
                eager_ms, eager = trained(check, [config])
            with graphs(check):
                ms, model = trained(check, [config])
            apart = largest_difference(eager, model)
            good = apart < ROUNDING
            check.say(
                "captured",
                model=name,
                eager_ms=eager_ms,
                ms=ms,
                largest_difference=apart,
                good=good,
            )


def stacked(check: Check) -> None:
    """Time a step of several seeds of a recipe that are trained as one network."""
    for name, config in recipes(check).items():
        data = load_task(task_of(config))
        untrained = build_model(config, data.shape, data.task.levels)
        if why_not := why_not_stacked(untrained, trainer_config(config)):
            check.say("stacked", model=name, why_not=why_not)
            continue
        alone: Model | None = None
        sizes = STACKED if name == MAIN else (1, SEEDS)
        for number in sizes[:2] if check.dry else sizes:
            with check.caught("stacked", model=name, runs=number), graphs(check):
                configs = [config | {"seed": seed} for seed in range(1, number + 1)]
                check.forget_peak()
                ms, model = trained(check, configs)
                alone = model if number == 1 else alone
                apart = largest_difference(alone, model) if alone else 0.0
                check.say(
                    "stacked",
                    model=name,
                    runs=number,
                    ms=ms,
                    steps_a_second=1e3 * number / ms,
                    peak_mib=check.peak_mib(),
                    largest_difference=apart,
                    good=apart < ROUNDING,
                )


def recipes(check: Check) -> dict[str, Config]:
    found = mnist_recipes(check.dry)
    return {name: found[name] for name in DRY} if check.dry else found


def graphs(check: Check) -> AbstractContextManager[None]:
    """Return a context with CUDA graphs, in a dry run with what stands in for them."""
    return recorded_graphs() if check.dry else nullcontext()


def largest_difference(one: Model, other: Model) -> float:
    """Return the largest difference between the weights of two models, which should be rounding."""
    theirs = other.state_dict()
    return max((a - theirs[name]).abs().max().item() for name, a in one.state_dict().items())


def trained(check: Check, configs: Sequence[Config]) -> tuple[float, Model]:
    """Return the milliseconds of a step of all these runs together, and the first run's model."""
    times: list[float] = []
    nothing: Visit = lambda number: nullcontext()
    timed: Visit = lambda number: clocked(check, number, times)
    visits = [nothing] * WARM + [timed] * TIMED
    silent = [nothing] * len(visits)
    together = Together(len(configs), BATCHES_AT_ONCE, print, lambda: turns.pass_on())

    def one(config: Config, own: Sequence[Visit], position: int) -> Model:
        try:
            return train(config, check.device, own, seats[position])
        finally:
            seats[position].leave()

    seats = list(together.seats)
    turns: Turns[Model] = Turns(
        [
            partial(one, config, silent if position else visits, position)
            for position, config in enumerate(configs)
        ]
    )
    models = turns.run()
    return median(times), models[0]
