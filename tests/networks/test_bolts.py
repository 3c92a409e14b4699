"""lightning-bolts' networks, VAE and batch check, behind the adapter that makes them importable."""

import sys
import warnings
from math import isfinite

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from bench.configuration.job import Job
from bench.configuration.models import build_model
from bench.configuration.parsing import parse_run
from bench.data import files, tasks
from bench.data.tasks import Task, load_task
from bench.errors import InputError
from bench.models.bolts_vae import BoltsVAE
from bench.networks.bolts import APPLY_FUNC, BoltsResNet18, bolts_module, without_review_warnings
from bench.noise import Noise
from bench.runs.run import run
from tests.conftest import patience, small_config

SHAPE = (3, 32, 32)
DIMENSIONS = 3 * 32 * 32


def made_up_images(n, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, DIMENSIONS), np.uint8))


def pl_bolts_modules():
    return {name for name in sys.modules if name.split(".")[0] == "pl_bolts"}


def test_the_adapter_can_be_used_twice_and_leaves_lightning_as_it_was():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = bolts_module("models.autoencoders.components")
        BoltsResNet18(SHAPE, (4,))
    assert bolts_module("models.autoencoders.components") is first
    assert bolts_module("models.autoencoders").VAE.__module__.startswith("pl_bolts.")
    assert APPLY_FUNC not in sys.modules and "torchvision" not in sys.modules
    assert sys.modules["pl_bolts"].__spec__.name == "pl_bolts"


def test_a_failed_import_leaves_nothing_behind(monkeypatch):
    for name in pl_bolts_modules():
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match="no_such_part"):
        bolts_module("no_such_part")
    assert not pl_bolts_modules() and APPLY_FUNC not in sys.modules


def test_without_lightning_bolts_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pl_bolts", None)
    with pytest.raises(InputError, match="not installed.*pip install --no-deps lightning-bolts==0"):
        BoltsResNet18(SHAPE, (4,))


def test_without_lightning_bolts_everything_else_works(warm):
    """In a process of its own, where nothing has imported it before."""
    code = (
        "import sys; sys.modules['pl_bolts'] = None\n"
        "from bench.configuration.models import build_model\n"
        "from bench.configuration.parsing import parse_run\n"
        "make = lambda model: parse_run(['--data', 'cifar10-256', '--model', model])\n"
        "build_model(make('gaussian_vae'), (3, 32, 32), 256)\n"
        "for model in ('bolts_vae', 'resnet_vae'):\n"
        "    try: build_model(make(model), (3, 32, 32), 256)\n"
        "    except ValueError as error: print(type(error).__name__, error)\n"
        "print([m for m in sys.modules if m.startswith('pl_bolts.')])"
    )
    done = warm.run("-c", code, timeout=patience(60))
    assert done.returncode == 0, done.stderr
    *errors, imported = done.stdout.splitlines()
    assert len(errors) == 2 and imported == "[]"
    assert all(line.startswith("InputError lightning-bolts") for line in errors)


def test_shapes():
    encoder = BoltsResNet18(SHAPE, (14,)).eval()
    assert encoder(torch.rand(2, DIMENSIONS)).shape == (2, 14)
    assert encoder(torch.rand(3, 1, DIMENSIONS)).shape == (3, 1, 14)
    decoder = BoltsResNet18((7,), (1, DIMENSIONS)).eval()
    assert decoder(torch.randn(3, 2, 7)).shape == (3, 2, DIMENSIONS)
    assert BoltsResNet18((7,), (2, 3 * 16 * 16))(torch.randn(2, 7)).shape == (2, 2 * 3 * 16 * 16)


def test_the_decoders_numbers_per_pixel_are_groups_of_its_last_channels():
    decoder = BoltsResNet18((7,), (2, DIMENSIONS)).eval()
    z = torch.randn(2, 7)
    with torch.no_grad():
        whole = decoder(z).unflatten(-1, (2, *SHAPE))
        resnet = decoder.layers[0]
        resnet.conv1.weight = torch.nn.Parameter(resnet.conv1.weight[3:])
        assert torch.allclose(resnet(z), whole[:, 1], atol=1e-6)


@pytest.mark.parametrize(
    "inputs, outputs, message",
    [
        ((1, 28, 28), (10,), "3 channels, not of 1"),
        ((10,), (2, 784), "784 numbers"),
        ((10,), (1, 3 * 12 * 12), "multiple of 8"),
        ((10,), (4,), "to a vector or a vector to"),
    ],
)
def test_what_it_cannot_map_is_refused(inputs, outputs, message):
    with pytest.raises(InputError, match=message):
        BoltsResNet18(inputs, outputs)


@pytest.mark.parametrize("option", ["kl_coefficient=-1", "kl_coefficient=.nan"])
def test_a_bad_kl_coefficient_is_refused(option):
    config = parse_run(["--data", "cifar10-256", "--model", "bolts_vae", f"--model.{option}"])
    with pytest.raises(InputError, match="kl_coefficient"):
        build_model(config, SHAPE, 256)


class ConstantNoise(Noise):
    """The same numbers for every datum, so that what differs is the datum's place in its batch."""

    def _own_rows(self, draw, shape):
        one = super()._own_rows(draw, (*shape[:-2], 1, shape[-1]))
        return one.expand(*shape)


@torch.no_grad()
@pytest.mark.parametrize("name", ["bolts_vae", "resnet_vae"])
def test_only_in_training_mode_terms_depend_on_the_batch(name):
    config = parse_run(["--data", "cifar10-256", "--model", name])
    model = build_model(config, SHAPE, 256)
    y = made_up_images(4)
    model.attach(y)
    model.train().terms(y, Noise(0))  # statistics that are not the initial ones
    differences = {}
    for mode in (True, False):
        state = {name: value.clone() for name, value in model.state_dict().items()}
        model.train(mode)
        alone, together = model.terms(y[:2], ConstantNoise(1)), model.terms(y, ConstantNoise(1))
        difference = alone.elbo - together.elbo[:, :2]
        differences[mode] = (difference.abs() / together.elbo[:, :2].abs()).max()
        model.load_state_dict(state)
    assert differences[False] < 1e-5 < 1e-3 < differences[True]


def test_the_objective_is_the_loss_of_lightning_bolts_own_vae():
    """Value and gradients, with their class, their step, our weights and our noise."""
    torch.manual_seed(0)
    ours = BoltsVAE(SHAPE, 256, latent_dimensions=5, kl_coefficient=0.3).train()
    with without_review_warnings():
        theirs = bolts_module("models.autoencoders").VAE(32, latent_dim=5, kl_coeff=0.3).train()
    _, resnet, linear = ours.posterior.network.layers
    theirs.encoder.load_state_dict(resnet.state_dict())
    theirs.decoder.load_state_dict(ours.decoder_network.layers[0].state_dict())
    for part, rows in ((theirs.fc_mu, slice(0, 5)), (theirs.fc_var, slice(5, 10))):
        part.load_state_dict({"weight": linear.weight[rows], "bias": linear.bias[rows]})
    y = made_up_images(4)

    def sampled(mean, log_variance):
        unit = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
        posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
        return unit, posterior, mean + posterior.scale * Noise(1).normal(1, 4, 5)[0]

    theirs.sample = sampled
    expected, _ = theirs.step(((y / 255).view(-1, *SHAPE), None), 0)
    loss = -ours.objective(ours.terms(y, Noise(1)), beta=1.0).mean()
    torch.testing.assert_close(loss, expected)
    expected.backward(), loss.backward()
    assert len(list(theirs.parameters())) == len(list(ours.parameters())) + 2  # two linear maps
    pairs = [(linear.weight.grad[:5], theirs.fc_mu.weight.grad)]
    pairs += [(linear.weight.grad[5:], theirs.fc_var.weight.grad)]
    for mine, other in (
        (resnet, theirs.encoder),
        (ours.decoder_network.layers[0], theirs.decoder),
    ):
        pairs += [(p.grad, q.grad) for p, q in zip(mine.parameters(), other.parameters())]
    # Batches of 4 through twenty normalizations: rounding (1e-7) grows to some thousandths in
    # float32. In float64 it stays at 1e-14.
    assert all((mine - other).norm() <= 0.02 * other.norm() for mine, other in pairs)


@torch.no_grad()
def test_bolts_vae_is_evaluated_as_a_gaussian_around_its_output():
    model = BoltsVAE(SHAPE, 256, latent_dimensions=5)
    y = made_up_images(3)
    model.attach(y)
    start = model.decoder.mean_square_error.clone()
    model.train().terms(y, Noise(0))
    assert not torch.equal(model.decoder.mean_square_error, start)
    model.eval()
    terms = model.terms(y, Noise(1))
    replay = Noise(1)
    z = model.posterior(y).sample(replay, 1)
    x = (y + replay.uniform(1, 3, DIMENSIONS)) / 256
    mean = (255 * model.decode(z)[..., 0, :] + 0.5) / 256
    gaussian = torch.distributions.Normal(mean, model.decoder.mean_square_error.sqrt())
    expected = gaussian.log_prob(x).sum(-1) - DIMENSIONS * np.log(256)
    torch.testing.assert_close(terms.reconstruction, expected)


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """A few made-up images in CIFAR-10's files, and a task of 4 + 2 + 2 of them."""
    for number, name in enumerate((*files.CIFAR10_TRAIN, *files.CIFAR10_TEST)):
        records = np.zeros((4, 1 + DIMENSIONS), np.uint8)
        records[:, 1:] = made_up_images(4, number).numpy()
        (tmp_path / name).write_bytes(records.tobytes())
        monkeypatch.setitem(files.SIZES, name, records.nbytes)
        monkeypatch.setitem(files.PAYLOADS["cifar10"], name, files.sha256(records.tobytes()))
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    splits = {"train": np.arange(4), "validation": np.arange(4, 6), "test": np.arange(2)}
    monkeypatch.setattr(tasks, "split_indices", lambda dataset, n: splits)
    # Decoding a thousand images for each number would take minutes here.
    monkeypatch.setattr("bench.estimators.evaluate.SHARPNESS_SAMPLES", 2)
    monkeypatch.setattr("bench.estimators.draws.SAMPLES_PER_DRAW", 5)
    monkeypatch.setattr("bench.runs.pictures.SHOWN_IMAGES", 2)
    load_task.cache_clear()
    yield
    load_task.cache_clear()


@pytest.mark.parametrize("name", ["bolts_vae", pytest.param("resnet_vae", marks=pytest.mark.long)])
def test_an_epoch_of_training_gives_finite_numbers(name, cifar10, tmp_path):
    options = ["--trainer.max_epochs=1", "--trainer.batch_size=2", "--trainer.learning_rate=1e-4"]
    options += ["--evaluation.elbo_samples=2", "--evaluation.importance_samples=5"]
    config = parse_run(["--data", "cifar10-256", "--model", name, *options])
    record = run(Job(config, name, "test", str(tmp_path / "run"), "disabled"))
    assert record["status"] == "ok", record
    columns = {key: estimate["value"] for key, estimate in record["metrics"]["test"].items()}
    assert all(isfinite(value) for value in columns.values())
    assert 0 < columns["bits_per_dim"] < 50
    assert columns["kl"] == pytest.approx(
        columns["mutual_information"] + columns["marginal_kl"], abs=1e-3
    )
    assert set(record["images"]) == {"data", "samples", "samples_aggregate", "reconstructions"}


class Bounds(pl.LightningModule):
    """The terms of a batch as lightning-bolts' check wants them: (batch, ·) of (batch, ·)."""

    def __init__(self, model, y):
        super().__init__()
        self.model, self.example_input_array = model, y

    def forward(self, y):
        return self.model.terms(y, Noise(0), samples=2).elbo.T


def verify(module):
    checks = bolts_module("callbacks.verification.batch_gradient")
    with without_review_warnings():
        callback = checks.BatchGradientVerificationCallback(error=True, sample_idx=1)
        callback.on_train_start(None, module)


@pytest.mark.parametrize("name", ["gaussian_vae", "realnvp"])
def test_lightning_bolts_check_finds_no_mixing_of_data(name):
    config = small_config(name)
    data = load_task(Task(**config["data"]))
    model = build_model(config, data.shape, data.task.levels)
    model.attach(data.train)
    verify(Bounds(model, data.test[:4].float()))


def test_lightning_bolts_check_finds_no_mixing_in_its_resnet_but_for_its_normalization():
    """It puts normalization layers into evaluation mode, as evaluation does with all."""
    model = build_model(parse_run(["--data", "cifar10-256", "--model", "resnet_vae"]), SHAPE, 256)
    verify(Bounds(model, made_up_images(3).float()))


def test_lightning_bolts_check_finds_mixing():
    class Mixing(torch.nn.Linear):
        def terms(self, y, noise, samples):
            from bench.models.terms import Terms

            return Terms(reconstruction=self(y - y.mean(0)).sum(-1).expand(samples, -1))

    with pytest.raises(RuntimeError, match="mixing data"):
        verify(Bounds(Mixing(3, 2), torch.rand(4, 3)))
