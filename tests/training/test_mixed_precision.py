"""Mixed precision: networks may be rounded to 16 bits in training; densities and evaluation are not."""

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from bench import NamedModel, Optimization, TaskDataModule
from bench.configuration.models import build_model
from bench.data.tasks import Task, load_task
from bench.noise import Noise
from tests.small_models import TRAINED, config_of


def built(model):
    config = config_of(model)
    data = load_task(Task(**config["data"]))
    network = build_model(config, data.shape, data.task.levels)
    network.attach(data.train)
    return network, data


def rounded(values: Tensor) -> bool:
    return bool((values == values.bfloat16()).all())


@pytest.mark.parametrize("model", TRAINED)
def test_terms_have_32_bits_and_networks_16(model):
    network, data = built(model)
    seen = []
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            layer.register_forward_hook(lambda *found: seen.append(found[2].dtype))
    index = torch.arange(20)
    y = data.train[index]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = network.train().terms(y, Noise("step"), 2, index)
        objective = network.objective(terms, 0.5)
    assert set(seen) == {torch.bfloat16}
    tensors = [value for value in vars(terms).values() if isinstance(value, Tensor)]
    if terms.posterior is not None:
        tensors += [terms.posterior.loc, terms.posterior.log_scale]
    tensors += [terms.elbo, terms.log_weights(0.5), objective]
    assert {value.dtype for value in tensors} == {torch.float32}
    assert not rounded(terms.reconstruction) and not rounded(objective)


def test_weights_in_16_bits_stay_the_users_choice():
    network, _ = built("gaussian_vae")
    network.to(torch.bfloat16)
    assert network.decode(torch.zeros(1, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("model", ["gaussian_vae", "aggregate_vae", "realnvp"])
def test_validation_test_and_prediction_have_full_precision(model, tmp_path):
    settings = config_of(model)["model"]
    module = NamedModel(settings, (1, 8, 8), 17, Optimization())
    module.model.attach(load_task(Task("digits")).train)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    logged = []
    for precision in ("32-true", "bf16-mixed"):
        trainer = pl.Trainer(
            accelerator="cpu",
            precision=precision,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=tmp_path,
        )
        data = TaskDataModule("digits-17")
        numbers = trainer.validate(module, data, verbose=False)
        numbers += trainer.test(module, data, verbose=False)
        logged.append((numbers, torch.cat(trainer.predict(module, data)).tolist()))
    assert logged[0] == logged[1]


def test_the_weights_of_importance_weighted_training_have_32_bits(tmp_path, monkeypatch):
    learning = Optimization(objective="importance_weighted", samples=5)
    module = NamedModel(config_of("gaussian_vae")["model"], (1, 8, 8), 17, learning)
    seen, objective = [], NamedModel.objective

    def watched(self, terms, kl_weight):
        seen.extend([terms.log_weights(1.0), objective(self, terms, kl_weight)])
        return seen[-1]

    monkeypatch.setattr(NamedModel, "objective", watched)
    trainer = pl.Trainer(
        accelerator="cpu",
        precision="bf16-mixed",
        max_steps=2,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, TaskDataModule("digits-17"))
    assert len(seen) == 4
    assert {values.dtype for values in seen} == {torch.float32}
    assert not any(rounded(values) for values in seen)
