"""The convolutional models from their configurations to a record."""

from math import isfinite

import pytest
import torch

from bench.configuration.job import Job
from bench.configuration.models import build_model
from bench.configuration.parsing import parse_run
from bench.data.tasks import Task, load_task
from bench.densities.dequantization import dequantize_uniformly
from bench.noise import Noise
from bench.runs.run import run
from tests.models.test_models import ConstantNoise

SMALL = {
    "convolutional_realnvp": ("--model.channels=4", "--model.blocks=1", "--model.couplings=2"),
    "convolutional_vae": tuple(
        f"--model.{network}.{size}"
        for network in ("encoder", "decoder_network")
        for size in ("channels=4", "blocks=1")
    ),
}


def small_run(model, data="digits-17"):
    trainer = ("--trainer.max_epochs=2", "--trainer.validate_every=1")
    evaluation = ("--evaluation.importance_samples=4", "--evaluation.importance_data=100")
    return parse_run(["--data", data, "--model", model, *SMALL[model], *trainer, *evaluation])


def made(model):
    config = small_run(model)
    data = load_task(Task(**config["data"]))
    built = build_model(config, data.shape, data.task.levels)
    built.attach(data.train)
    for name, parameter in built.named_parameters():
        if "flow" in name:  # a new flow is the identity, which hides mistakes
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(1))
    return built, data


@pytest.mark.parametrize("data", ["digits-17", "digits-binary"])
@pytest.mark.parametrize("model", SMALL)
def test_a_run_trains_and_gives_finite_numbers(model, data, tmp_path):
    record = run(Job(small_run(model, data), model, "test", str(tmp_path), "disabled"))
    assert record["status"] == "ok", record
    assert record["epochs"] == 2
    first, second = (entry["train_elbo"] for entry in record["history"])
    assert second > first
    for columns in record["metrics"].values():
        assert all(isfinite(estimate["value"]) for estimate in columns.values())


@pytest.mark.parametrize("model", SMALL)
def test_the_same_run_twice_gives_the_same_numbers(model, tmp_path):
    records = [
        run(Job(small_run(model), model, "test", str(tmp_path / name), "disabled"))
        for name in ("a", "b")
    ]
    first, again = ((r["metrics"], r["history"], r["images"]) for r in records)
    assert first == again


@pytest.mark.parametrize("model", SMALL)
def test_a_datums_terms_do_not_depend_on_its_batch_mates(model):
    built, data = made(model)
    y = data.test[:5].float().requires_grad_()
    terms = built.train().terms(y, Noise(0), samples=2)
    gradient = torch.autograd.grad(terms.elbo[:, 2].sum(), y)[0]
    others = torch.arange(5) != 2
    assert gradient[2].abs().sum() > 0 and not gradient[others].any()
    with torch.no_grad():
        together = built.eval().terms(data.test[:5], ConstantNoise(3)).elbo
        alone = [built.terms(data.test[i : i + 1], ConstantNoise(3)).elbo for i in range(5)]
    torch.testing.assert_close(torch.cat(alone, dim=1), together, atol=1e-3, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("model", SMALL)
def test_samples_are_levels_and_means_lie_between(model):
    built, data = made(model)
    drawn, mean = built.eval().sample(20, Noise(0)), built.sample_mean(20, Noise(0))
    assert drawn.shape == mean.shape == (20, 64)
    assert torch.equal(drawn, drawn.round()) and drawn.min() >= 0 and drawn.max() <= 16
    assert mean.min() >= 0 and mean.max() <= 16


@torch.no_grad()
def test_flow_samples_map_back_to_their_noise():
    """sample is the inverse of terms, up to the pixel's bin."""
    built, data = made("convolutional_realnvp")
    noise = Noise(7).normal(30, 64)
    logits = built.standardization.inverse(built.flow.inverse(noise))
    x = built.preprocessing.inverse(logits)
    expected = (x * 17).floor().clamp(0, 16)
    assert torch.equal(built.sample(30, Noise(7)), expected)
    z, _ = built.flow(built.standardization(built.preprocessing(x)[0])[0])
    inside = ((x > 0) & (x < 1)).all(1)
    torch.testing.assert_close(z[inside], noise[inside], atol=1e-2, rtol=1e-2)


@torch.no_grad()
def test_the_flow_standardizes_all_pixels_of_a_channel_alike():
    built = build_model(small_run("convolutional_realnvp"), (3, 8, 8), 256)
    darkest, brightest = torch.tensor([0, 100, 0]), torch.tensor([20, 255, 255])
    share = torch.rand(400, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    share[:, :, 0] = 0  # the upper border is always dark
    y = darkest[:, None, None] + share * (brightest - darkest)[:, None, None]
    y = y.flatten(1).to(torch.uint8)
    built.attach(y)
    x = dequantize_uniformly(y, 256, 4, Noise(0))
    standardized = built.standardization(built.preprocessing(x)[0])[0].unflatten(2, (3, 64))
    torch.testing.assert_close(standardized.mean((0, 1, 3)), torch.zeros(3), atol=2e-3, rtol=0)
    torch.testing.assert_close(standardized.std((0, 1, 3)), torch.ones(3), atol=2e-3, rtol=0)
    scales = built.standardization.log_scale.unflatten(0, (3, 64))
    assert (scales == scales[:, :1]).all() and len(scales[:, 0].unique()) == 3


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("model", SMALL)
def test_larger_images_have_terms_and_samples(model, shape):
    built = build_model(small_run(model), shape, 256)
    dimensions = torch.Size(shape).numel()
    y = torch.randint(256, (3, dimensions), dtype=torch.uint8)
    built.attach(y)
    elbo = built.terms(y, Noise(0), samples=2).elbo
    assert elbo.shape == (2, 3) and elbo.isfinite().all()
    elbo.mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in built.parameters())
    with torch.no_grad():
        assert built.sample(2, Noise(1)).shape == (2, dimensions)


def test_the_vae_takes_a_bernoulli_decoder_on_binary_images():
    config = parse_run(
        ["--data", "digits-binary", "--model", "convolutional_vae", "--model.decoder=Bernoulli"]
    )
    built = build_model(config, (1, 8, 8), 2)
    y = torch.randint(2, (3, 64), dtype=torch.uint8)
    assert built.terms(y, Noise(0)).elbo.isfinite().all()
