"""What many gradient steps in each training step of Lightning gain over one."""

import tempfile

import torch
from pytorch_lightning.callbacks import Callback

from bench.configuration.job import Job
from bench.configuration.models import build_model
from bench.configuration.parsing import parse_run
from bench.data.tasks import TaskData
from bench.instruments.perf.interleaved import Comparison, compare
from bench.instruments.perf.sizes import Sizes
from bench.instruments.perf.training import (
    DEEP,
    EpochClock,
    dynamic_task,
    random_images,
    vae_options,
)
from bench.instruments.progress import PartProgress
from bench.models.terms import Model
from bench.records.key import key_of
from bench.records.types import Config
from bench.runs.plan import plan_of
from bench.training.batches import TaskDataModule
from bench.training.callbacks import ProgressCallback
from bench.training.fit import Listeners, TrainingPlan, make_trainer
from bench.training.many_steps import BATCHES_AT_ONCE, ManySteps
from bench.training.module import GenerativeModel

BATCH = 100
# Epochs of each training, the first of which includes the start-up and is not counted.
EPOCHS = 3
TARGET = 1.1


def lightning_rows(sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    """Compare the loop of sweeps with the plain module, both with the same callbacks."""
    torch.set_num_threads(1)
    config = parse_run(vae_options(DEEP, BATCH, EPOCHS))
    data = dynamic_task(random_images(sizes.images))
    what = f"training step, Bernoulli VAE {DEEP.name}, batch {BATCH}"
    ours: list[float] = []
    other: list[float] = []
    for repeat in range(sizes.repeats):
        progress(repeat / sizes.repeats, what)
        for at_once, times in ((BATCHES_AT_ONCE, ours), (0, other)):
            times.append(1e3 * seconds_of_epoch(config, data, at_once) * BATCH / sizes.images)
    return [compare(what, "one step in each of Lightning's", "ms", ours, other, TARGET)]


def seconds_of_epoch(config: Config, data: TaskData, at_once: int) -> float:
    """Train; return the mean seconds of an epoch after the first."""
    model = build_model(config, data.shape, data.task.levels)
    clock = EpochClock([])
    with tempfile.TemporaryDirectory() as folder:
        job = Job(config, "model", key_of(config), folder, "disabled")
        plan = plan_of(job, torch.device("cpu"))
        train(model, data, plan, clock, at_once)
    (times,) = clock.times
    return sum(times[1:]) / len(times[1:])


def train(model: Model, data: TaskData, plan: TrainingPlan, clock: Callback, at_once: int) -> None:
    kind = ManySteps if at_once else GenerativeModel
    module = kind(model, plan.settings, plan.seed)
    silent = lambda *_: None
    trainer = make_trainer(
        plan,
        [torch.device("cpu")],
        Listeners(silent, silent, callbacks=[clock]),
        ProgressCallback(silent),
    )
    trainer.fit(module, TaskDataModule(data, plan.settings.batch_size, plan.seed, at_once))
