"""Modules that a user's own Trainer trains on a pretended GPU, and networks too large for whole runs."""

from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from bench import NamedModel, Optimization, TaskDataModule
from bench.configuration.models import build_model
from bench.configuration.parsing import parse_run
from bench.data.tasks import Task, load_task
from bench.settings import trainer_config
from bench.training.epoch import EpochMeans
from bench.training.many_steps import ManySteps
from bench.training.module import GenerativeModel
from tests.conftest import small_config
from tests.pretended_gpu import pretended_gpu


def digits(images: int, colours: int = 1, held_out: int = 100):
    """Return digits as a task of grey images, or of images with three equal colours."""
    data = load_task(Task("digits"))
    parts = {"train": data.train[:images]}
    parts |= {name: data.split(name)[:held_out] for name in ("validation", "test")}
    parts = {name: y.repeat(1, colours) for name, y in parts.items()}
    return replace(data, shape=(colours, 8, 8), **parts)


def trained(module, data, accelerator, folder, work=lambda trainer: None, max_epochs=2):
    """Return the logged numbers of a training, and what ``work`` gives afterwards."""
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=max_epochs,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    logged = dict(trainer.callback_metrics)
    return {name: value.item() for name, value in logged.items()}, work(trainer)


class InPhase:
    """A loader whose batches are trained on in the phase "step", but for the last of each epoch."""

    def __init__(self, loader, report):
        self.loader, self.report = loader, report

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        for number, batch in enumerate(self.loader):
            self.report.now = "step" if number < len(self) - 1 else ""
            yield batch
        self.report.now = ""


class Watched(TaskDataModule):
    """A data module whose training batches are followed in ``report``."""

    report = None

    def train_dataloader(self):
        loader = super().train_dataloader()
        return loader if self.report is None else InPhase(loader, self.report)


def on_both(module_of, data_of, folder, work=lambda trainer, module, data: None):
    """Return what two trainings give, one on the CPU and one on a pretended GPU, and its report."""
    module, data = module_of(), data_of(None)
    first = trained(module, data, "cpu", folder, lambda t: work(t, module, data))
    with pretended_gpu() as report:
        module, data = module_of(), data_of(report)
        second = trained(module, data, "gpu", folder, lambda t: work(t, module, data))
    return first, second, report


def data_of_module(report):
    data = Watched(digits(200), batch_size=50)
    data.report = report
    return data


def numbers_of(trainer, module, data):
    predicted = torch.cat(trainer.predict(module, data)).tolist()
    return trainer.test(module, data, verbose=False), predicted


@pytest.mark.parametrize(
    "model, optimizer", [("gaussian_vae", "adam"), ("aggregate_vae", "sgd"), ("realnvp", "rmsprop")]
)
def test_the_plain_module_gives_the_cpus_bytes_and_never_waits(model, optimizer, tmp_path):
    settings = small_config(model)["model"]
    learning = Optimization(optimizer=optimizer, learning_rate=1e-3, normalize_gradients=True)
    module_of = lambda: NamedModel(settings, (1, 8, 8), 17, learning)
    first, second, report = on_both(module_of, data_of_module, tmp_path, numbers_of)
    assert first == second
    assert {key[1:] for key in report.waits if key[0] == "step"} == set()
    assert report.kernels["step", "mm"] > 0


def test_a_number_that_is_read_in_a_step_is_seen(tmp_path, monkeypatch):
    settings, add = small_config("gaussian_vae")["model"], EpochMeans.add
    monkeypatch.setattr(EpochMeans, "add", lambda *args: (args[1].elbo[0, 0].item(), add(*args)))
    module_of = lambda: NamedModel(settings, (1, 8, 8), 17)
    _, _, report = on_both(module_of, data_of_module, tmp_path)
    assert {kind for phase, kind, _ in report.waits if phase == "step"} == {"_local_scalar_dense"}


def test_a_loader_of_the_users_own(tmp_path):
    """Its batches are checked where they lie, and an aggregate prior finds them in the split."""
    images = digits(200).train
    module_of = lambda: NamedModel(small_config("aggregate_vae")["model"], (1, 8, 8), 17)
    loader_of = lambda report: DataLoader(TensorDataset(images.view(-1, 1, 8, 8)), 50)
    first, second, _ = on_both(module_of, loader_of, tmp_path)
    assert first == second


# {model: kernels of one gradient step}
RESNETS = {"resnet_vae": 438, "bolts_vae": 427}


@pytest.mark.parametrize("model", RESNETS)
def test_resnets(model, tmp_path, monkeypatch):
    config = parse_run(["--model", model, "--data", "cifar10-256", "--trainer", "digits-constant"])
    data = digits(8, colours=3, held_out=2)
    module = ManySteps(build_model(config, data.shape, 17), trainer_config(config), 1)
    before, loss = [], GenerativeModel.loss
    with pretended_gpu() as report:

        def watched(self, batch):
            before.append(report.copy())
            return loss(self, batch)

        monkeypatch.setattr(GenerativeModel, "loss", watched)
        batches = TaskDataModule(data, batch_size=2, batches_at_once=4)
        logged, _ = trained(module, batches, "gpu", tmp_path, max_epochs=1)
    step = before[3] - before[2]
    assert not step.waits and step.kernels.total() == RESNETS[model]
    assert "validation_elbo" in logged
