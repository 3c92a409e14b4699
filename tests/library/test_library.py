"""Somebody else's model gets the contract's numbers: three ways in, and one line where it cannot."""

import doctest
import importlib
import re
import subprocess
import sys
from functools import partial
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

import bench
from bench import (
    DiagonalNormal,
    EvaluationConfig,
    ExternalVAE,
    InputError,
    Noise,
    Task,
    Terms,
    densities,
    evaluate,
    load_task,
    load_trained,
    task_from_arrays,
)
from bench.configuration.job import Job
from bench.configuration.models import build_model
from bench.runs.run import run

FEW = EvaluationConfig(importance_samples=3, importance_data=100)
GREY = np.random.default_rng(0).integers(0, 5, (60, 4, 4))
BINARY = (GREY > 2).astype(np.uint8)


class PlainVAE(nn.Module):
    """What a tutorial writes."""

    def __init__(self, dimensions: int = 16, outputs: int = 16):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Linear(dimensions, 6)
        self.norm = nn.BatchNorm1d(6)
        self.decoder = nn.Sequential(nn.Linear(3, outputs), nn.Dropout(0.5))

    def encode(self, x):
        return self.norm(self.encoder(x)).chunk(2, -1)

    def decode(self, z):
        return self.decoder(z)


def binary_data():
    return task_from_arrays(BINARY[:40], BINARY[40:], levels=2)


def plain_model(net=None, **options):
    net = net or PlainVAE()
    parts = {"encode": net.encode, "decode": net.decode, "likelihood": densities.Bernoulli}
    return ExternalVAE((1, 4, 4), 2, **(parts | options))


def test_every_name_is_there_and_nothing_heavy_is_imported_for_it():
    for name in bench.__all__:
        assert getattr(bench, name) is not None and name in dir(bench)
    with pytest.raises(AttributeError, match="no_such_name"):
        bench.no_such_name  # noqa: B018
    code = "import sys, bench; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("model", ["bernoulli_vae", "realnvp"])
def test_a_trained_checkpoint_gets_the_numbers_of_its_record(model, tmp_path, config_of):
    config = config_of(model, "digits-binary", "--seed=3")
    record = run(Job(config, model, "test", str(tmp_path), "disabled"))
    trained = load_trained(tmp_path / "best.ckpt")
    settings = EvaluationConfig(**config["evaluation"])
    numbers = evaluate(trained.model, trained.data, settings, seed=3)
    plain = {s: {c: e._asdict() for c, e in columns.items()} for s, columns in numbers.items()}
    assert plain == record["metrics"]


def test_a_vae_taken_apart_and_put_together_again_is_the_same_model(config_of):
    """Ours, given as an encoder, a decoder and a prior, keeps its numbers."""
    config = config_of("bernoulli_vae", "digits-binary")
    data = load_task(Task("digits", "threshold"))
    ours = build_model(config, data.shape, 2)
    theirs = ExternalVAE(
        data.shape,
        2,
        encode=lambda x: ours.posterior(x),
        decode=lambda z: ours.decoder_network(z),
        likelihood=densities.Bernoulli,
        prior=Independent(Normal(torch.zeros(3), torch.ones(3)), 1),
    )
    expected, got = evaluate(ours, data, FEW)["test"], evaluate(theirs, data, FEW)["test"]
    for column in set(expected) - {"kl_analytic", "sharpness"}:
        assert got[column].value == pytest.approx(expected[column].value, rel=1e-5), column
    # A distribution of PyTorch has no closed form here, and draws other numbers.
    assert "kl_analytic" not in got
    assert got["sharpness"].value == pytest.approx(expected["sharpness"].value, rel=0.1)


def test_modules_are_measured_in_evaluation_mode_and_left_in_theirs():
    net = PlainVAE()
    net.norm.eval()
    first = evaluate(plain_model(net), binary_data(), FEW)
    assert net.training and net.decoder.training and not net.norm.training
    assert evaluate(plain_model(net.eval()), binary_data(), FEW) == first


def test_the_decomposition_and_the_bound_of_an_external_model():
    test = evaluate(plain_model(), binary_data(), FEW)["test"]
    parts = test["mutual_information"].value + test["marginal_kl"].value
    assert test["kl"].value == pytest.approx(parts, abs=1e-9)
    assert test["mutual_information"].value <= test["log_n"].value == log(20)
    bits = -test["log_likelihood"].value / (16 * log(2))
    assert test["bits_per_dim"].value == pytest.approx(bits, rel=1e-14)


def test_an_object_with_terms_alone_gets_its_numbers():
    class Own:
        def terms(self, y, noise, samples):
            posterior = DiagonalNormal(y[:, :2].float(), torch.zeros(len(y), 2))
            z = posterior.sample(noise, samples)
            prior = DiagonalNormal(torch.zeros(1, 2), torch.zeros(1, 2))
            return Terms(
                reconstruction=torch.full((samples, len(y)), -16 * log(2)),
                log_prior=prior.log_prob(z),
                log_posterior=posterior.log_prob(z),
                latent=z,
                posterior=posterior,
            )

    test = evaluate(Own(), binary_data(), FEW)["test"]
    assert test["reconstruction"].value == pytest.approx(-16 * log(2))
    # KL(N(m, 1) ‖ N(0, 1)) = m²/2, and m is a pixel of 0 or 1.
    expected = 0.5 * BINARY[40:].reshape(20, 16)[:, :2].sum(1).mean()
    assert test["kl"].value == pytest.approx(expected, abs=5 * test["kl"].stderr)
    assert "sharpness" not in test and "kl_analytic" not in test


def test_images_as_means_get_the_sigma_that_fits_them_best():
    mean = torch.full((16,), 0.5)
    zeros = lambda x: (torch.zeros(len(x), 1), torch.zeros(len(x), 1))
    data = task_from_arrays(GREY[:40], GREY[40:], levels=5)

    def bits(sigma, split):
        likelihood = partial(densities.Gaussian, sigma=sigma)
        decode = lambda z: mean.expand(len(z), 16)
        model = ExternalVAE(data.shape, 5, zeros, decode, likelihood)
        return evaluate(model, data, FEW)[split]["reconstruction"].value, model

    best, model = bits("optimal", "train")
    # The mean ½ of an image is ½ of the dequantized one, and its variance that of (y + u) / 5.
    assert model.decoder.data_mean[0] + 0.5 * model.decoder.data_scale[0] == pytest.approx(0.5)
    sigma = model.decoder.mean_square_error.sqrt().item()
    assert sigma == pytest.approx(
        (((GREY[:40] + 0.5) / 5 - 0.5) ** 2 + 1 / 300).mean() ** 0.5, rel=0.02
    )
    assert best > max(bits(0.8 * sigma, "train")[0], bits(1.25 * sigma, "train")[0])


@pytest.mark.parametrize(
    "encode",
    [
        lambda x: (x[:, :2], torch.zeros(len(x), 2)),
        lambda x: DiagonalNormal(x[:, :2], torch.zeros(len(x), 2)),
        lambda x: Normal(x[:, :2], 1.0),
        lambda x: Independent(Normal(x[:, :2], 1.0), 1),
    ],
    ids=["tuple", "DiagonalNormal", "Normal", "Independent"],
)
def test_encoders_of_every_kind_mean_the_same(encode):
    decode = lambda z: 2 * z.repeat(1, 8) - 1
    test = evaluate(plain_model(encode=encode, decode=decode), binary_data(), FEW)["test"]
    tuples = plain_model(encode=lambda x: (x[:, :2], torch.zeros(len(x), 2)), decode=decode)
    assert test == evaluate(tuples, binary_data(), FEW)["test"]


def test_convolutional_shapes_and_several_outputs():
    grey = task_from_arrays(GREY[:40], GREY[40:], levels=5)
    encode = lambda x: (x.mean((2, 3)), torch.zeros(len(x), 1))
    decode = lambda z: (z[:, :, None, None].expand(-1, 1, 4, 4), torch.zeros(len(z), 1, 4, 4))
    model = ExternalVAE(grey.shape, 5, encode, decode, densities.DiscretizedLogistic, flat=False)
    assert evaluate(model, grey, FEW)["test"]["bits_per_dim"].value > 0


def test_a_model_for_other_images_is_refused():
    with pytest.raises(InputError, match=r"images of \(1, 4, 4\) with 2 levels, and digits-17 has"):
        evaluate(plain_model(), load_task(Task("digits")), FEW)


WRONG_MODELS = {
    "no_terms": (lambda: nn.Linear(1, 1), "has no terms"),
    "mean over the batch": (
        lambda: Answers(lambda y, noise, s: Terms(torch.zeros(()))),
        r"reconstruction of shape \(\) where \(2, 2\)",
    ),
    "a tensor": (lambda: Answers(lambda y, noise, s: torch.zeros(s, len(y))), "returned Tensor"),
    "noise of its own": (
        lambda: Answers(lambda y, noise, s: Terms(torch.randn(s, len(y)))),
        "two results for one noise",
    ),
    "not a number": (
        lambda: Answers(lambda y, noise, s: Terms(torch.full((s, len(y)), torch.nan))),
        "on the train split is nan",
    ),
    "a posterior alone": (
        lambda: Answers(
            lambda y, noise, s: Terms(torch.zeros(s, len(y)), posterior=normal(len(y)))
        ),
        "without log_prior, log_posterior and latent",
    ),
    "log q in bits": (
        lambda: Answers(
            lambda y, noise, s: Terms(
                *[torch.zeros(s, len(y))] * 2,
                normal(len(y)).log_prob(torch.ones(s, len(y), 2)) / log(2),
                torch.ones(s, len(y), 2),
                normal(len(y)),
            )
        ),
        "both are in nats",
    ),
}


class Answers:
    def __init__(self, terms):
        self.terms = terms


def normal(batch):
    return DiagonalNormal(torch.zeros(batch, 2), torch.zeros(batch, 2))


@pytest.mark.parametrize("case", WRONG_MODELS)
def test_a_wrong_model_is_refused_in_one_line(case):
    make, complaint = WRONG_MODELS[case]
    with pytest.raises(InputError, match=complaint) as raised:
        evaluate(make(), binary_data(), FEW)
    assert "\n" not in str(raised.value)


WRONG_PARTS = {
    "Bernoulli on 256 levels": (dict(levels=256), "over 2 levels, not 256"),
    "probabilities": (
        dict(decode=lambda z: torch.sigmoid(z).repeat(1, 16)[:, :16]),
        "Bernoulli takes logits",
    ),
    "outputs of another size": (
        dict(decode=lambda z: torch.zeros(len(z), 5)),
        r"outputs of shape \(3, 5\)",
    ),
    "three of encode": (dict(encode=lambda x: (x, x, x)), "returned tuple"),
    "a Laplace": (
        dict(encode=lambda x: torch.distributions.Laplace(x, 1.0)),
        "Laplace; a diagonal normal",
    ),
    "mean of the batch": (dict(encode=lambda x: (x.mean(0), x.mean(0))), "encode: mean of shape"),
    "batch statistics": (
        dict(encode=lambda x: (x - x.mean(0), torch.zeros_like(x))),
        "depends on the others",
    ),
    "an encoder that samples": (
        dict(encode=lambda x: (torch.randn_like(x), torch.zeros_like(x))),
        "or is random",
    ),
    "a decoder in training mode": (
        dict(decode=lambda z: nn.functional.dropout(z.repeat(1, 6)[:, :16] + 1)),
        "decode: what it makes",
    ),
    "untrained sigma": (
        dict(likelihood=partial(densities.Gaussian, sigma="pixel")),
        "were not trained",
    ),
    "infinite": (dict(encode=lambda x: (x / 0, x)), "encode: returned numbers that are not finite"),
    "half a level": (dict(levels=2.5), "levels: 2.5 is no whole number"),
    "levels in words": (dict(levels="2"), "levels: '2' is no whole number"),
    "one level": (dict(levels=1), "levels: 1 is no whole number from 2 on"),
    "no channels": (dict(shape=(4, 4)), r"shape: \(4, 4\) is not \(channels, height, width\)"),
    "a number of pixels": (dict(shape=16), "shape: 16 is not"),
    "halves of pixels": (dict(shape=(1, 4.0, 4)), "shape: .* is not"),
    "no prior": (dict(prior=nn.Identity()), "prior: Identity has no log_prob and no sample"),
    "a prior of single numbers": (dict(prior=Normal(0.0, 1.0)), r"events of shape \(\)"),
}


@pytest.mark.parametrize("case", WRONG_PARTS)
def test_a_wrong_part_is_refused_in_one_line(case):
    options, complaint = WRONG_PARTS[case]
    net = PlainVAE()
    parts = dict(
        shape=(1, 4, 4),
        levels=2,
        encode=net.encode,
        decode=net.decode,
        likelihood=densities.Bernoulli,
    )
    with pytest.raises(InputError, match=complaint) as raised:
        ExternalVAE(**(parts | options))
    assert "\n" not in str(raised.value)


WRONG_IMAGES = {
    "floats": (dict(train=GREY / 4), "values of float64"),
    "levels": (dict(levels=4), "values from 0 to 4 on levels 0 … 3"),
    "negative": (dict(test=GREY - 1), "values from -1"),
    "too many levels": (dict(levels=65536), "between 2 and 256"),
    "flat": (dict(train=GREY.reshape(60, 16)), r"array of shape \(60, 16\)"),
    "other shapes": (dict(test=GREY[:, :3]), r"test: images of shape \(1, 3, 4\)"),
    "one image": (dict(test=GREY[:1]), "1 images"),
    "no pixels": (dict(train=GREY[:, :0]), r"shape \(60, 0, 4\) has no pixels"),
    "ragged lists": (dict(train=[[[1, 2]], [[1]]]), "train: not an array"),
    "half a level": (dict(levels=2.5), "levels: 2.5 is not a whole number"),
    "levels in words": (dict(levels="5"), "levels: '5' is not a whole number"),
    "levels yes": (dict(levels=True), "levels: True is not a whole number"),
    "no number of levels": (dict(levels=float("nan")), "levels: nan is not a whole number"),
}


class RaisesAnything:
    def __array__(self, *_, **__):
        raise KeyError("first\nsecond")


GRADIENTS = [torch.ones(4, 4, requires_grad=True)] * 3
WRONG_IMAGES |= {
    "an array that raises": (dict(train=RaisesAnything()), "train: not an array: 'first"),
    "no values": (dict(test=torch.zeros(9, 4, 4, device="meta")), "test: not an array: .*meta"),
    "gradients": (dict(train=GRADIENTS), "train: not an array: .*grad"),
    "masked": (dict(train=np.ma.masked_equal(GREY, 3)), "train: some values are masked"),
    "masked images": (dict(train=[*np.ma.masked_equal(GREY, 3)]), "train: some values are masked"),
    "more than fits": (
        dict(train=np.broadcast_to(GREY[:1], (10**12, 4, 4))),
        r"takes 1.49e\+04 GiB as 8-bit integers, but \S+ GiB of memory are free",
    ),
    "a tensor that is more than fits": (
        dict(test=torch.zeros(1, 4, 4, dtype=torch.uint8).expand(10**12, 4, 4)),
        r"test: an array of shape .* takes 1.49e\+04 GiB",
    ),
}
# Shapes in which both the second and the last axis may be the channels'.
for shape in ((3, 5, 3), (3, 3, 3), (1, 5, 3), (3, 5, 1)):
    words = f"images of shape {shape} are ambiguous: {shape[0]} channels first or {shape[2]} last"
    images = np.zeros((4, *shape), int)
    WRONG_IMAGES[f"channels of {shape}"] = (dict(train=images), re.escape(words))


@pytest.mark.parametrize("case", WRONG_IMAGES)
def test_wrong_images_are_refused_in_one_line(case):
    options, complaint = WRONG_IMAGES[case]
    with pytest.raises(InputError, match=complaint) as raised:
        task_from_arrays(**(dict(train=GREY, test=GREY, levels=5) | options))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (dict(data=BINARY), "data: ndarray is no task's data; task_from_arrays makes"),
        (dict(data=None), "data: NoneType is no task's data"),
        (dict(config={"elbo_samples": 2}), "config: dict is no EvaluationConfig"),
        (dict(seed="x"), "seed: 'x' is no whole number"),
        (dict(seed=1.5), "seed: 1.5 is no whole number"),
        (dict(device="cuda:99"), "device: nothing can be computed on 'cuda:99': "),
        (dict(device="meta"), "device: nothing can be computed on 'meta': "),
        (dict(device="a toaster"), "device: nothing can be computed on 'a toaster': "),
        (dict(device=None), "device: nothing can be computed on None: "),
    ],
    ids=lambda part: "-".join(part) if isinstance(part, dict) else "",
)
def test_a_wrong_argument_of_evaluate_is_refused_in_one_line(arguments, complaint):
    with pytest.raises(InputError, match=complaint) as raised:
        evaluate(**(dict(model=plain_model(), data=binary_data(), config=FEW) | arguments))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["elbo_samples", "importance_samples"])
def test_more_samples_than_anybody_can_draw_are_refused(name):
    with pytest.raises(InputError, match=f"evaluation.{name}: 1000.* is more than 1000000 samples"):
        EvaluationConfig(**{name: 10**30})


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_in_the_last_axis_are_known_and_told(channels):
    first = np.random.default_rng(1).integers(0, 5, (9, channels, 6, 4))
    with pytest.warns(UserWarning, match=r"are read as \(height, width, channels\)") as told:
        last = task_from_arrays(first[:5].transpose(0, 2, 3, 1), first[5:].transpose(0, 2, 3, 1), 5)
    assert last.shape == (channels, 6, 4) and len({str(line.message) for line in told}) == 1
    expected = task_from_arrays(first[:5], first[5:], 5)
    assert last.payload_sha256 == expected.payload_sha256


def test_levels_may_be_a_number_of_numpy():
    levels = task_from_arrays(GREY, GREY, np.int64(5)).task.levels
    assert levels == 5 and type(levels) is int


SHARPNESS = {"sharpness", "sharpness_aggregate", "sharpness_reconstruction"}


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (3, 3), (5, 5)])
def test_images_whose_sharpness_is_undefined_get_every_other_number(shape):
    """The Laplacian does not fit, is a single number, or is 0 everywhere (constant test images)."""
    images = np.random.default_rng(2).integers(0, 2, (40, *shape))
    test = np.ones((20, *shape), int) if shape == (5, 5) else images[20:]
    data = task_from_arrays(images[:20], test, 2)
    net = PlainVAE(data.dimensions, data.dimensions)
    model = ExternalVAE(data.shape, 2, net.encode, net.decode, densities.Bernoulli)
    numbers = evaluate(model, data, FEW)["test"]
    assert not SHARPNESS & set(numbers)
    others = set(evaluate(plain_model(), binary_data(), FEW)["test"]) - SHARPNESS
    assert set(numbers) == others


def test_tensors_and_booleans_are_images_too():
    tensors = task_from_arrays(torch.from_numpy(GREY[:40]), torch.from_numpy(GREY[40:]), 5)
    assert (tensors.test.numpy() == GREY[40:].reshape(20, 16)).all()
    booleans = task_from_arrays(BINARY[:40] > 0, BINARY[40:] > 0, 2)
    assert booleans.payload_sha256 == binary_data().payload_sha256


def test_a_prior_of_pytorch_draws_from_the_noise_alone():
    prior = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
    density = plain_model(prior=prior).prior_density(Noise(0), None)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    draws = [density.sample(4, Noise("a")), density.sample(4, Noise("b"))]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(draws[0], density.sample(4, Noise("a")))
    assert not torch.equal(*draws)


@pytest.mark.parametrize("name", sorted({*bench._MODULES.values(), "bench.densities"}))
def test_the_examples_of_docstrings_are_right(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0 and result.failed == 0


USER_CODE = """
import torch
from torch import Tensor, nn
from bench import Estimate, EvaluationConfig, ExternalVAE, Noise, Task, Terms
from bench import densities, evaluate, load_task

class Own:
    def terms(self, y: Tensor, noise: Noise, samples: int) -> Terms:
        return Terms(torch.zeros(samples, len(y)))

data = load_task(Task("digits", "threshold"))
net = nn.Linear(64, 8)
def encode(x: Tensor) -> tuple[Tensor, Tensor]:
    mean, log_variance = net(x).chunk(2, -1)
    return mean, log_variance
model = ExternalVAE(data.shape, data.task.levels, encode, nn.Linear(4, 64), densities.Bernoulli)
for measured in (evaluate(Own(), data), evaluate(model, data, EvaluationConfig())):
    estimate: Estimate = measured["test"]["elbo"]
wrong: str = evaluate(model, data)  # type: ignore[assignment]
"""


@pytest.mark.long
def test_the_public_surface_is_typed_and_so_is_code_that_uses_it(tmp_path):
    root = Path(bench.__file__).parents[1]
    user = tmp_path / "user.py"
    user.write_text(USER_CODE)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", f"--cache-dir={tmp_path / 'cache'}", "bench", user],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
