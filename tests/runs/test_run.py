"""A run's numbers: equal whenever it is repeated, and moved by every field of its configuration."""

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from math import cos, isfinite, log, pi

import pytest
import torch

from bench.configuration.job import Job
from bench.configuration.models import build_model
from bench.configuration.parsing import parse_run
from bench.data import tasks
from bench.errors import InputError
from bench.runs.divergence import check_against_uniform
from bench.runs.run import run
from bench.settings import trainer_config
from bench.system.energy import Counter
from bench.training.checkpoints import (
    BEST,
    LAST,
    CheckedCheckpointIO,
    content_hash,
    read_checkpoint,
)
from bench.training.epoch import TrainingDiverged
from bench.training.many_steps import ManySteps
from bench.training.module import GenerativeModel
from tests.conftest import LAUNCHED, patience, small_config
from tests.offline_logs import read_offline_run

# Mini-batches of 100 of the digits' training split.
STEPS = 11
MODELS = ["gaussian_vae", "bernoulli_vae", "realnvp", "aggregate_vae"]


def task_for(model):
    return "digits-binary" if model == "bernoulli_vae" else "digits-17"


def run_of(config, directory):
    record = run(Job(config, "model", "test", str(directory), "disabled"))
    assert record["status"] == "ok", record
    return record


def numbers(record):
    return record["metrics"], record["history"], record["images"]


@pytest.mark.parametrize("model", MODELS)
def test_terms_are_complete_and_consistent(model, tmp_path):
    record = run_of(small_config(model, task_for(model)), tmp_path)
    for split in ("train", "test"):
        columns = {name: e["value"] for name, e in record["metrics"][split].items()}
        assert all(isfinite(value) for value in columns.values())
        dimensions = record["data"]["dimensions"]
        assert columns["bits_per_dim"] == pytest.approx(
            -columns["log_likelihood"] / (dimensions * log(2))
        )
        assert columns["log_likelihood"] >= columns["elbo"]
        assert columns["mutual_information"] <= columns["log_n"] + 1e-9
        if model != "realnvp":
            parts = columns["mutual_information"] + columns["marginal_kl"]
            assert columns["kl"] == pytest.approx(parts, abs=1e-4)
            assert columns["elbo"] == pytest.approx(
                columns["reconstruction"] - columns["kl"], abs=1e-4
            )
        else:
            assert "kl" not in columns and columns["mutual_information"] == columns["log_n"]
    train = {name: e["value"] for name, e in record["metrics"]["train"].items()}
    if model != "realnvp":
        risen = train["elbo_aggregate"] - train["elbo"]
        assert risen == pytest.approx(train["marginal_kl"], abs=1e-4)
    if model == "aggregate_vae":
        assert train["marginal_kl"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("model", ["gaussian_vae", "realnvp", "aggregate_vae"])
def test_the_same_run_twice_and_after_others_is_byte_identical(model, tmp_path):
    config = small_config(model)
    first = run_of(config, tmp_path / "a")
    torch.rand(5)
    run_of(small_config("bernoulli_vae", "digits-binary", "--seed=5"), tmp_path / "b")
    assert numbers(run_of(config, tmp_path / "c")) == numbers(first)


def test_a_killed_run_goes_on_to_the_same_numbers(warm, tmp_path):
    """SIGKILL in the middle of training, then the same call: the numbers of an uninterrupted run."""
    config = small_config("gaussian_vae", "digits-17", "--trainer.max_epochs=20")
    script = """
import json, os, signal, sys
from bench.configuration.job import Job
from bench.training.many_steps import ManySteps
from bench.runs.run import run
step = ManySteps.training_step
def killed(self, *arguments):
    if self.current_epoch == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *arguments)
ManySteps.training_step = killed
run(Job(json.loads(sys.argv[1]), "model", "test", sys.argv[2], "disabled"))
"""
    process = warm.run("-c", script, json.dumps(config), tmp_path / "killed", timeout=patience(60))
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert 0 < read_checkpoint(tmp_path / "killed" / LAST)["epoch"] < 9
    resumed = run_of(config, tmp_path / "killed")
    assert numbers(resumed) == numbers(run_of(config, tmp_path / "whole"))


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """(A run's configuration, its record in a clean environment, the weights of another seed)."""
    folder, options = tmp_path_factory.mktemp("short"), ("--trainer.max_epochs=2",)
    config = small_config("bernoulli_vae", "digits-binary", *options)
    run_of(small_config("bernoulli_vae", "digits-binary", *options, "--seed=9"), folder / "9")
    return config, run_of(config, folder / "1"), folder / "9" / LAST


@pytest.fixture
def littered(short, tmp_path, monkeypatch):
    """A current folder that holds another run's weights as Lightning leaves them under Slurm."""
    (tmp_path / "here").mkdir()
    shutil.copy(short[2], tmp_path / "here" / "hpc_ckpt_1.ckpt")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize("launcher", LAUNCHED)
def test_no_launcher_changes_a_run_or_resumes_another_runs_weights(
    launcher, short, littered, tmp_path, monkeypatch
):
    config, clean, _ = short
    for name, value in LAUNCHED[launcher].items():
        monkeypatch.setenv(name, value)
    handlers = []
    look = lambda *_: handlers.append(signal.getsignal(signal.SIGUSR1))
    record = run(Job(config, "model", "test", str(tmp_path / "run"), "disabled"), look)
    assert numbers(record) == numbers(clean)
    # Nothing is written there, nobody's signal is taken, and what follows a run has its variables.
    assert [path.name for path in littered.iterdir()] == ["hpc_ckpt_1.ckpt"]
    assert handlers and set(handlers) == {signal.SIG_DFL}
    assert all(os.environ[name] == value for name, value in LAUNCHED[launcher].items())


@pytest.mark.long
def test_a_process_that_a_launcher_started_as_rank_one_is_rank_zero(short, littered, tmp_path):
    """Some of it is read when Lightning is imported. A rank that is not 0 logged nothing."""
    config, clean, _ = short
    script = (
        "import json, sys, torch; from bench.configuration.job import Job; from bench.runs.run import run;"
        "record = run(Job(json.loads(sys.argv[1]), 'model', 'test', sys.argv[2], 'offline'));"
        "record['precision'] = torch.get_float32_matmul_precision();"
        "names = ('metrics', 'history', 'images', 'notes', 'precision');"
        "print(json.dumps([record[name] for name in names]))"
    )
    environment = os.environ | {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
    for variables in LAUNCHED.values():
        environment |= variables
    words = [sys.executable, "-c", script, json.dumps(config), str(tmp_path / "run")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *found, notes, precision = json.loads(done.stdout)
    assert precision == "highest"
    assert found == json.loads(json.dumps(numbers(clean))) and not notes and not done.stderr
    (log,) = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    _, history, summary = read_offline_run(log)
    steps = [row["trainer/global_step"] for row in history if "train_elbo" in row]
    assert steps == [STEPS, 2 * STEPS]
    for name in ("elbo", "reconstruction", "kl"):
        assert all(f"train_{name}" in row for row in history[:2])
        assert [f"validation_{name}" in row for row in history[:2]] == [False, True]
    assert [row["validation_elbo"] for row in history[1:2]] == pytest.approx(
        [row["validation_elbo"] for row in clean["history"]]
    )
    assert summary["bits_per_dim"] == clean["metrics"]["test"]["bits_per_dim"]["value"]
    assert all(image["height"] >= 224 <= image["width"] for image in images_of(history[-1]))


def images_of(row):
    """Return [{part: value}] of the images in a row of an offline log."""
    found: dict = {}
    for path, value in row.items():
        name, _, part = path.rpartition(".")
        if name.startswith("images/"):
            found.setdefault(name, {})[part] = value
    assert len(found) >= 3
    return list(found.values())


def test_curves_hold_every_part_of_the_bound_at_its_gradient_step(tmp_path, points):
    options = ("--trainer.kl_warmup_epochs=4", "--trainer.schedule=cosine")
    record = run_of(small_config("gaussian_vae", "digits-17", *options), tmp_path / "vae")
    assert [point["epoch"] for point in points] == [1, 2, 3, 4]
    assert [point["step"] for point in points] == [STEPS * epoch for epoch in (1, 2, 3, 4)]
    assert [point["beta"] for point in points] == [0.25, 0.5, 0.75, 1.0]
    rates = [2e-3 * 0.5 * (1 + cos(pi * epoch / 4)) for epoch in range(4)]
    assert [point["learning_rate"] for point in points] == pytest.approx(rates)
    for number, point in enumerate(points):
        splits = ("train", "validation") if number % 2 else ("train",)
        parts = {f"{split}_{part}" for split in splits for part in ("elbo", "reconstruction", "kl")}
        assert set(point) == parts | {"epoch", "step", "beta", "learning_rate"}
        for split in splits:
            rise = point[f"{split}_reconstruction"] - point[f"{split}_elbo"]
            assert point[f"{split}_kl"] == pytest.approx(rise) and rise > 0
    for point, row in zip(points[1::2], record["history"], strict=True):
        assert {name: point[name] for name in row} == pytest.approx(row)
    # A flow has no q(z|y), so no KL.
    run_of(small_config("realnvp"), tmp_path / "flow")
    assert (
        len(points) == 8
        and "validation_reconstruction" in points[-1]
        and "train_kl" not in points[-1]
    )


def test_a_run_that_had_stopped_early_does_not_train_on(tmp_path):
    options = ("--trainer.max_epochs=40", "--trainer.patience=1", "--trainer.learning_rate=0.03")
    config = small_config("realnvp", "digits-17", *options)
    first = run_of(config, tmp_path)
    assert first["epochs"] < 40
    assert numbers(run_of(config, tmp_path)) == numbers(first)


def test_the_time_before_a_run_was_cut_off_counts(tmp_path, monkeypatch):
    counted = iter(range(0, 1000, 7))
    counters = {"cpu_energy_joules": [Counter(lambda: next(counted))]}
    monkeypatch.setattr("bench.runs.run.counters_of", lambda devices: counters)
    config = small_config("gaussian_vae")
    assert run_of(config, tmp_path)["timing"]["cpu_energy_joules"] == 7
    held = read_checkpoint(tmp_path / LAST)
    assert 0 < held["callbacks"]["ProgressCallback"]["seconds"] < 1000
    held["callbacks"]["ProgressCallback"]["seconds"] = 1000.0
    CheckedCheckpointIO().save_checkpoint(held, tmp_path / LAST)
    timing = run_of(config, tmp_path)["timing"]
    assert 1000 < timing["fit_seconds"] < timing["total_seconds"] < 2000
    # Of the energy before the interruption nothing is known, and so of the whole.
    times = {"fit_seconds", "evaluate_seconds", "total_seconds"}
    assert set(timing) == times | {"started_at", "ended_at"}
    assert 0 < timing["ended_at"] - timing["started_at"] < 1000


def test_a_damaged_checkpoint_is_not_trusted(tmp_path):
    config = small_config("gaussian_vae")
    first = run_of(config, tmp_path)
    content = (tmp_path / LAST).read_bytes()
    (tmp_path / LAST).write_bytes(content[: len(content) // 2])
    assert numbers(run_of(config, tmp_path)) == numbers(first)
    with pytest.raises(InputError, match="cannot be read"):
        (tmp_path / BEST).write_bytes(content[:1000])
        read_checkpoint(tmp_path / BEST)


def test_divergence_becomes_a_failed_record_with_its_reason(tmp_path):
    options = ("--trainer.optimizer=sgd", "--trainer.learning_rate=1e30")
    record = run(
        Job(small_config("realnvp", "digits-17", *options), "m", "test", str(tmp_path), "disabled")
    )
    assert record["status"] == "failed" and record["reason"].startswith(
        "diverged: the training objective"
    )
    again = run(
        Job(small_config("realnvp", "digits-17", *options), "m", "test", str(tmp_path), "disabled")
    )
    assert again["reason"] == record["reason"]


def test_reference_rows_are_what_they_say(tmp_path):
    from bench.data.tasks import Task, load_task

    uniform = run_of(parse_run(["--data", "digits-17", "--model", "uniform"]), tmp_path)
    assert uniform["metrics"]["test"]["bits_per_dim"]["value"] == pytest.approx(log(17) / log(2))
    pixels = run_of(parse_run(["--data", "digits-17", "--model", "independent_pixels"]), tmp_path)
    data = load_task(Task("digits"))
    total = 0.0
    for d in range(64):
        counts = torch.bincount(data.train[:, d].long(), minlength=17) + 1.0
        total += (counts / counts.sum()).double().log()[data.test[:, d].long()].sum().item()
    expected = -total / (300 * 64 * log(2))
    assert pixels["metrics"]["test"]["bits_per_dim"]["value"] == pytest.approx(expected, rel=1e-6)


SMALL_FLOW = (
    "--model.widths=[16] --model.couplings=2 "
    "--model.dequantization_widths=[8] --model.dequantization_couplings=2"
)
# What else to set so that a field can show, and a value that differs from the base's.
FIELDS = [
    ("gaussian_vae", "--seed=2"),
    ("gaussian_vae", "--trainer.max_epochs=3"),
    ("gaussian_vae", "--trainer.batch_size=50"),
    ("gaussian_vae", "--trainer.optimizer=rmsprop"),
    ("gaussian_vae", "--trainer.optimizer=sgd --trainer.learning_rate=1e-6"),
    ("gaussian_vae", "--trainer.learning_rate=1e-3"),
    ("gaussian_vae", "--trainer.schedule=cosine"),
    ("gaussian_vae", "--trainer.schedule=tripling"),
    ("gaussian_vae", "--trainer.samples=3"),
    ("gaussian_vae", "--trainer.samples=3 --trainer.objective=importance_weighted"),
    ("realnvp", "--trainer.samples=3 --trainer.objective=importance_weighted"),
    ("gaussian_vae", "--trainer.normalize_gradients=true"),
    ("gaussian_vae", "--evaluation.importance_data_train=100"),
    ("gaussian_vae", "--trainer.beta=0.5"),
    ("gaussian_vae", "--trainer.kl_warmup_epochs=3"),
    ("gaussian_vae", "--trainer.gradient_clip_norm=0.01"),
    ("gaussian_vae", "--trainer.validate_every=2"),
    ("gaussian_vae", "--evaluation.elbo_samples=3"),
    ("gaussian_vae", "--evaluation.importance_samples=13"),
    ("gaussian_vae", "--evaluation.importance_data=100"),
    ("gaussian_vae", "--model.latent_dimensions=4"),
    ("gaussian_vae", "--model.encoder.widths=[17]"),
    ("gaussian_vae", "--model.encoder.activation=tanh"),
    ("gaussian_vae", "--model.encoder=GatedMLP"),
    ("gaussian_vae", "--model.decoder_network.widths=[17]"),
    ("gaussian_vae", "--model.decoder_network.activation=elu"),
    ("gaussian_vae", "--model.decoder.sigma=shared"),
    ("gaussian_vae", "--model.decoder.sigma=pixel"),
    ("gaussian_vae", "--model.decoder.sigma=optimal"),
    ("gaussian_vae", "--model.decoder.sigma=0.1"),
    ("gaussian_vae", "--model.decoder.dequantization=none"),
    ("gaussian_vae", "--model.decoder=DiscretizedLogistic"),
    ("gaussian_vae", "--model.decoder=DiscretizedLogistic --model.decoder.scale=shared"),
    ("gaussian_vae", "--model.decoder=DiscretizedLogistic --model.decoder.scale=pixel"),
    ("gaussian_vae", "--model.decoder=DiscretizedGaussian"),
    ("gaussian_vae", "--model.decoder=DiscretizedGaussian --model.decoder.scale=shared"),
    ("gaussian_vae", "--model.decoder=DiscretizedGaussian --model.decoder.scale=pixel"),
    ("gaussian_vae", "--model.decoder=Categorical"),
    ("gaussian_vae", "--model.prior=Mixture"),
    ("gaussian_vae", "--model.prior=Mixture --model.prior.components=7"),
    ("gaussian_vae", "--model.prior=Vamp --model.prior.pseudo_inputs=9"),
    (
        "gaussian_vae",
        "--model.prior=Vamp --model.prior.pseudo_inputs=9 --model.prior.learned_weights=true",
    ),
    ("gaussian_vae", "--model.prior=Flow --model.prior.widths=[8]"),
    ("gaussian_vae", "--model.prior=Flow --model.prior.widths=[9]"),
    ("gaussian_vae", "--model.prior=Flow --model.prior.widths=[8] --model.prior.couplings=4"),
    ("gaussian_vae", "--data digits-binary"),
    ("gaussian_vae", "--data.leave_out_every=8"),
    ("gaussian_vae", "--trainer.encoder_steps=1 --trainer.decoder_steps=1"),
    ("gaussian_vae", "--trainer.encoder_steps=2 --trainer.decoder_steps=1"),
    ("gaussian_vae", "--trainer.encoder_steps=1 --trainer.decoder_steps=2"),
    ("gaussian_vae", "--model.prior=Aggregate --model.prior.exemplars=40"),
    ("gaussian_vae", "--model.prior=Aggregate --model.prior.exemplars=60"),
    ("gaussian_vae", "--model.prior=Exemplar"),
    ("gaussian_vae", "--model.prior=Exemplar --model.prior.neighbours=5"),
    ("realnvp", "--seed=1"),
    ("realnvp", "--model.couplings=3"),
    ("realnvp", "--model.widths=[17]"),
    ("realnvp", "--model.mask=half"),
    ("realnvp", "--model.alpha=0.01"),
    ("realnvp", "--model.shift=before_scaling"),
    ("realnvp", "--model.dequantization=none"),
    ("gaussian_vae", "--trainer.precision=bf16-mixed"),
    ("linear_gaussian", ""),
    ("linear_gaussian", "--model.latent_dimensions=4"),
    ("linear_gaussian", "--model.iterations=3"),
    ("gaussian_mixture", ""),
    ("gaussian_mixture", "--model.components=4"),
    ("gaussian_mixture", "--model.iterations=3"),
    ("variational_realnvp", SMALL_FLOW),
    ("variational_realnvp", f"{SMALL_FLOW} --model.couplings=3"),
    ("variational_realnvp", f"{SMALL_FLOW} --model.widths=[17]"),
    ("variational_realnvp", f"{SMALL_FLOW} --model.mask=half"),
    ("variational_realnvp", f"{SMALL_FLOW} --model.alpha=0.01"),
    ("variational_realnvp", f"{SMALL_FLOW} --model.dequantization_couplings=3"),
    ("variational_realnvp", f"{SMALL_FLOW} --model.dequantization_widths=[9]"),
]


@pytest.fixture
def few_images(monkeypatch):
    """Splits of digits with which a run takes half as long."""
    whole, sizes = tasks.split_indices, {"train": 200, "validation": 100, "test": 120}
    fewer = lambda *given: {name: whole(*given)[name][:size] for name, size in sizes.items()}
    monkeypatch.setattr(tasks, "split_indices", fewer)
    tasks.load_task.cache_clear()
    yield
    tasks.load_task.cache_clear()


def test_every_field_of_the_configuration_changes_the_numbers(tmp_path, few_images):
    brief = ("--trainer.max_epochs=2", "--trainer.validate_every=1")
    seen = {}
    base = run_of(small_config("gaussian_vae", "digits-17", *brief), tmp_path / "base")
    seen[repr((base["metrics"], base["history"]))] = "the base"
    for number, (model, options) in enumerate(FIELDS):
        config = small_config(model, "digits-17", *brief, *options.split())
        record = run_of(config, tmp_path / str(number))
        outcome = repr((record["metrics"], record["history"]))
        assert outcome not in seen, f"{options} changes nothing against {seen[outcome]}"
        seen[outcome] = options


def test_patience_and_threads_reach_what_they_name(tmp_path, few_images):
    """They change numbers only by when training stops, and by rounding."""
    options = ("--trainer.max_epochs=60", "--trainer.learning_rate=0.03")
    short = run_of(
        small_config("realnvp", "digits-17", *options, "--trainer.patience=1"), tmp_path / "1"
    )
    longer = run_of(
        small_config("realnvp", "digits-17", *options, "--trainer.patience=3"), tmp_path / "3"
    )
    assert short["epochs"] < longer["epochs"] < 60
    # It stops as many validations, of every second epoch, after the highest bound.
    assert short["epochs"] - short["best_epoch"] == 2
    assert longer["epochs"] - longer["best_epoch"] == 2 * 3
    for record in (short, longer):
        best = max(record["history"], key=lambda point: point["validation_elbo"])
        assert best["epoch"] == record["best_epoch"]
    threads = run_of(small_config("realnvp", "digits-17", "--trainer.threads=2"), tmp_path / "t")
    assert threads["environment"]["threads"] == 2
    torch.set_num_threads(1)


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_networks_train_to_the_same_numbers(tmp_path):
    compiled = small_config("realnvp", "digits-17", "--trainer.compile=default")
    plain = run_of(small_config("realnvp", "digits-17"), tmp_path / "plain")
    torch._dynamo.utils.counters.clear()
    record = run_of(compiled, tmp_path / "compiled")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 2
    for ours, theirs in zip(record["history"], plain["history"]):
        assert ours == pytest.approx(theirs, rel=1e-4)
    elbo = [r["metrics"]["test"]["elbo"]["value"] for r in (record, plain)]
    assert elbo[0] == pytest.approx(elbo[1], rel=1e-4)


def test_every_field_is_in_the_list_above():
    """A new option without a test that it does something fails here."""
    tested = {
        word.partition("=")[0].split()[0].lstrip("-")
        for _, o in FIELDS
        for word in o.split("--")
        if word
    }
    # Of which two devices are in test_ranks.py.
    tested |= {"trainer.patience", "trainer.threads", "trainer.compile", "trainer.devices"}

    def leaves(config, prefix=""):
        for name, value in config.items():
            path = f"{prefix}{name}"
            if isinstance(value, dict) and "class_path" in value:
                yield from leaves(value.get("init_args", {}), f"{path}.")
            elif isinstance(value, dict):
                yield from leaves(value, f"{path}.")
            else:
                yield path

    everything = set()
    for options in (
        [],
        ["--model.prior=Mixture"],
        ["--model.prior=Vamp"],
        ["--model.prior=Flow"],
        ["--model.prior=Aggregate"],
        ["--model.prior=Exemplar"],
        ["--model.decoder=DiscretizedLogistic"],
        ["--model.decoder=DiscretizedGaussian"],
    ):
        config = parse_run(["--data", "digits-17", "--model", "gaussian_vae", *options])
        everything |= set(leaves(copy.deepcopy(config)))
    for model in ("realnvp", "variational_realnvp", "linear_gaussian", "gaussian_mixture"):
        everything |= set(leaves(parse_run(["--data", "digits-17", "--model", model])))
    everything -= {"data.dataset", "data.binarization"}  # by name: --data
    assert everything <= tested, everything - tested


def test_training_by_turns_moves_one_half_at_a_time(tmp_path):
    """A phase of the encoder longer than the training leaves the decoder as it began."""
    options = ("--trainer.encoder_steps=10000", "--trainer.decoder_steps=1")
    config = small_config("gaussian_vae", "digits-17", *options)
    run_of(config, tmp_path)
    start = build_model(config, (1, 8, 8), 17).state_dict()
    end = read_checkpoint(tmp_path / LAST)["state_dict"]
    for name, before in start.items():
        moved = not torch.equal(before, end[f"model.{name}"])
        if name.startswith("posterior.") or name.startswith("decoder_network."):
            assert moved == name.startswith("posterior."), name


def test_a_turn_continues_across_epochs_and_interruptions():
    config = parse_run(
        ["--data", "digits-17", "--model", "gaussian_vae", "--trainer.encoder_steps=2"]
        + ["--trainer.decoder_steps=3"]
    )
    model = build_model(config, (1, 8, 8), 17)
    module = GenerativeModel(model, trainer_config(config))
    turns = []
    for step in range(10):
        module.halves.select(step)
        encoder = {p.requires_grad for p in model.posterior.parameters()}
        rest = {p.requires_grad for p in model.decoder_network.parameters()}
        assert len(encoder) == 1 and encoder != rest
        turns.append("E" if encoder == {True} else "M")
    assert "".join(turns) == "EEMMMEEMMM"
    module.on_train_end()
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    "model, option, message",
    [
        ("realnvp", "encoder_steps=1 decoder_steps=1", "no encoder and decoder"),
        ("gaussian_vae", "encoder_steps=1", "would never train one of the two"),
    ],
)
def test_turns_that_cannot_be_taken_are_refused(model, option, message):
    options = [f"--trainer.{part}" for part in option.split()]
    with pytest.raises(InputError, match=message):
        config = small_config(model, "digits-17", *options)
        GenerativeModel(build_model(config, (1, 8, 8), 17), trainer_config(config))


def test_validating_less_often_than_training_lasts_is_refused():
    with pytest.raises(InputError, match="no epoch would be validated"):
        small_config("gaussian_vae", "digits-17", "--trainer.max_epochs=1")


def test_numbers_that_are_not_finite_are_a_failure_not_a_result(tmp_path):
    """The last update can diverge with no training step after it to tell."""
    options = ("--trainer.max_epochs=1", "--trainer.validate_every=1", "--trainer.batch_size=1000")
    config = small_config("gaussian_vae", "digits-17", *options, "--trainer.learning_rate=1e30")
    record = run(Job(config, "m", "test", str(tmp_path), "disabled"))
    assert record["status"] == "failed" and record["reason"].startswith("diverged")


def test_a_training_that_ends_far_below_the_uniform_model_is_a_failure_not_a_result(tmp_path):
    """At this learning rate every number stays finite."""
    options = ("--trainer.max_epochs=2", "--trainer.learning_rate=1e6")
    config = small_config("bernoulli_vae", "digits-binary", *options)
    record = run(Job(config, "m", "test", str(tmp_path), "disabled"))
    assert record["status"] == "failed" and "metrics" not in record
    words = (
        r"diverged: \d\.\d+e\+\d\d bits/dim on the training split, where the uniform model has 1 "
    )
    assert re.match(words, record["reason"]), record["reason"]
    assert any("repeated from the start" in line for line in record["notes"])


@pytest.mark.parametrize(
    "sigma, bits, is_a_result",
    [
        ("decoder", 1.6, True),  # as after one epoch
        ("decoder", 370, False),
        ("0.01", 370, True),  # as after one epoch: a narrow normal whose mean is not learned yet
        ("0.01", 1e4, False),
        ("1e4", 15, True),  # a wide normal, trained or not
    ],
)
def test_an_honest_likelihood_that_loses_to_the_uniform_model_is_a_result(sigma, bits, is_a_result):
    config = small_config("gaussian_vae", "digits-binary", f"--model.decoder.sigma={sigma}")
    model, results = build_model(config, (1, 8, 8), 2), {"train": {"bits_per_dim": {"value": bits}}}
    if is_a_result:
        check_against_uniform(results, model, 2)
    else:
        with pytest.raises(TrainingDiverged, match="bits/dim on the training split"):
            check_against_uniform(results, model, 2)


def test_a_run_goes_on_in_a_folder_that_was_moved(tmp_path):
    """The best checkpoint is remembered by what it is, not by where it lay."""
    options = (
        "--trainer.learning_rate=0.03",
        "--trainer.patience=100",
        "--trainer.validate_every=1",
    )
    config = small_config("realnvp", "digits-17", *options, "--trainer.max_epochs=12")
    whole = run_of(config, tmp_path / "whole")
    checkpoint = torch.load(tmp_path / "whole" / LAST, weights_only=True)
    assert checkpoint["epoch"] + 1 > whole["best_epoch"]  # else nothing could be forgotten
    (tmp_path / "whole").rename(tmp_path / "moved")
    assert numbers(run_of(config, tmp_path / "moved")) == numbers(whole)


def test_other_code_starts_anew(tmp_path, monkeypatch):
    config = small_config("gaussian_vae")
    run_of(config, tmp_path)
    calls = []
    import bench.training.fit

    original = bench.training.fit.TaskDataModule.train_dataloader
    monkeypatch.setattr(
        bench.training.fit.TaskDataModule,
        "train_dataloader",
        lambda self: calls.append(1) or original(self),
    )
    held = torch.load(tmp_path / LAST, weights_only=True)
    held["bench"]["code_sha256"] = "other"
    del held["sha256"]
    torch.save(held | {"sha256": content_hash(held)}, tmp_path / LAST)
    run_of(config, tmp_path)
    assert read_checkpoint(tmp_path / LAST)["bench"]["code_sha256"] != "other" and calls


def test_a_training_that_began_on_another_device_starts_anew_and_says_so(tmp_path):
    config = small_config("gaussian_vae")
    first = run_of(config, tmp_path)
    assert not first["notes"] and read_checkpoint(tmp_path / LAST)["bench"]["device"] == "cpu"
    held = read_checkpoint(tmp_path / LAST)
    held["bench"]["device"] = "NVIDIA H100 80GB HBM3"
    CheckedCheckpointIO().save_checkpoint(held, tmp_path / LAST)
    again = run_of(config, tmp_path)
    assert again["notes"] == [
        "last.ckpt is of another device (NVIDIA H100 80GB HBM3, not cpu); trained from the start"
    ]
    assert numbers(again) == numbers(first)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_training_step_never_waits_for_the_gpu(tmp_path, monkeypatch):
    original = ManySteps.training_step

    def watched(self, *arguments):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return original(self, *arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(ManySteps, "training_step", watched)
    run_of(small_config("gaussian_vae"), tmp_path)


def test_bf16_changes_training_and_nothing_else(tmp_path):
    exact = run_of(small_config("gaussian_vae"), tmp_path / "a")
    rounded = run_of(
        small_config("gaussian_vae", "digits-17", "--trainer.precision=bf16-mixed"), tmp_path / "b"
    )
    ours, theirs = (r["metrics"]["test"]["bits_per_dim"]["value"] for r in (exact, rounded))
    assert ours != theirs and ours == pytest.approx(theirs, rel=0.05)
    surgery = {name: e["value"] for name, e in rounded["metrics"]["test"].items()}
    parts = surgery["mutual_information"] + surgery["marginal_kl"]
    assert surgery["kl"] == pytest.approx(parts, abs=1e-9)
