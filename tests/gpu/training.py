"""Training as `bench train` does it, with something done around each group of its steps."""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback

from bench.configuration.job import Job
from bench.configuration.models import build_model
from bench.data.tasks import load_task, task_of
from bench.models.terms import Model
from bench.records.types import Config
from bench.runs.plan import plan_of
from bench.training.fit import Listeners, fit, silence_lightning
from bench.training.together import Seat

Visit = Callable[[int], AbstractContextManager[object]]


class Enough(Exception):
    """All visits are made."""


class Visits(Callback):
    """Enters the i-th context around the i-th group of steps, and ends the training after the last.

    Args:
        visits: Each is called with the number of steps in its group, and returns its context.
    """

    def __init__(self, visits: Sequence[Visit]):
        self.visits = list(visits)

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        self.current = self.visits.pop(0)(len(batch.indices))
        self.current.__enter__()

    def on_train_batch_end(  # the parameters are Lightning's
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.current.__exit__(None, None, None)
        if not self.visits:
            raise Enough


def train(
    config: Config, device: torch.device, visits: Sequence[Visit], seat: Seat | None = None
) -> Model:
    """Train a fresh model until all visits are made, and return it."""
    silence_lightning()
    warnings.filterwarnings("ignore", ".*on_before_batch_transfer.*")
    torch.set_num_threads(1)
    data = load_task(task_of(config))
    model = build_model(config, data.shape, data.task.levels)
    with tempfile.TemporaryDirectory() as folder:
        place = torch.device(device.type, None if device.type == "cpu" else 0)
        plan = plan_of(Job(config, "model", "gpu", folder, "disabled"), place)
        listeners = Listeners(lambda *_: None, lambda line: None, callbacks=[Visits(visits)])
        try:
            fit(model, data, plan, [place], listeners, seat)
        except Enough:
            return model
    raise RuntimeError("the training ended before all visits were made")
