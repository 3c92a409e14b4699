"""Whole runs of every model on a pretended GPU: no mixed devices, no waits in a step, the CPU's bytes."""

from contextlib import nullcontext

import pytest
import torch

import bench.runs.run
from bench.configuration.files import CONFIGS
from bench.configuration.job import Job
from bench.estimators.evidence import naive_evidence
from bench.runs.pictures import latent_map
from bench.runs.run import evaluate_model, run
from bench.runs.trained import load_trained
from bench.system.devices import Reserved
from bench.training.batches import TrainingBatches
from bench.training.checkpoints import BEST
from bench.training.epoch import EpochMeans
from bench.training.many_steps import ManySteps
from tests.pretended_gpu import Report, pretended_gpu
from tests.recorded_graph import RecordedGraph, recorded_graphs
from tests.small_models import FITTED, TRAINED, alike_are_long, config_of, few_images

# Kernels of one gradient step of the models of tests/small_models.py. A change of these numbers is a
# change of the time of a step on a GPU, where kernels of small networks take less time than their
# launches.
KERNELS = {
    "bernoulli_vae": 101,
    "gaussian_vae": 118,
    "aggregate_vae": 220,
    "gated_vae": 101,
    "gated_vamp_vae": 201,
    "gated_aggregate_vae": 202,
    "gated_exemplar_vae": 199,
    "gated_flow_vae": 185,
    "gated_mixture_vae": 175,
    "iwae_paper_vae": 101,
    "full_covariance_vae": 112,
    "flow_posterior_vae": 272,
    "relu_vae": 101,
    "relu_vamp_vae": 201,
    "relu_iwae_vae": 101,
    "integer_discrete_flow": 125,
    "realnvp": 108,
    "variational_realnvp": 221,
    "convolutional_realnvp": 237,
    "variational_convolutional_realnvp": 375,
    "convolutional_vae": 249,
}
# ResNet-18 takes too long for a whole run: tests/training/test_training_on_pretended_gpu.py.
ELSEWHERE = {"resnet_vae", "bolts_vae"}
SAME = ("metrics", "history", "images", "latent")


def test_every_model_is_here():
    files = {path.stem for path in (CONFIGS / "model").glob("*.yaml")}
    assert files == {*TRAINED, *FITTED, *ELSEWHERE}


@pytest.fixture(autouse=True)
def short_runs(monkeypatch):
    monkeypatch.setattr("bench.runs.run.load_task", few_images)
    monkeypatch.setattr("bench.runs.trained.load_task", few_images)
    monkeypatch.setattr("bench.estimators.evaluate.SHARPNESS_SAMPLES", 50)
    # So that an epoch has more than one training step of Lightning's.
    monkeypatch.setattr("bench.training.fit.BATCHES_AT_ONCE", 2)


class Steps:
    """What the GPU did between any two mini-batches of an epoch, and in any training step."""

    def __init__(self, report: Report, monkeypatch):
        self.report, self.between = report, []
        make, step, begin = TrainingBatches.draw, ManySteps.training_step, ManySteps.begin_epoch
        before = None

        def draw(*arguments, noise):
            nonlocal before
            images = make(*arguments, noise=noise)
            if before is not None:
                self.between.append(report - before)
            before = report.copy()
            return images

        def begin_epoch(module):
            nonlocal before
            before = None
            begin(module)

        def training_step(module, *arguments):
            with report.phase("step"):
                step(module, *arguments)

        monkeypatch.setattr(TrainingBatches, "draw", draw)
        monkeypatch.setattr(ManySteps, "begin_epoch", begin_epoch)
        monkeypatch.setattr(ManySteps, "training_step", training_step)

    def waits(self) -> set:
        """Return what waited, and where: in a training step, and from one mini-batch to the next."""
        inside = {(kind, line) for phase, kind, line in self.report.waits if phase == "step"}
        return inside | {key[1:] for part in self.between for key in part.waits}

    def kernels(self) -> int:
        """Return the kernels of a gradient step, which all but the first have in common."""
        first, *others = [part.kernels.total() for part in self.between]
        (number,) = set(others)
        # The first step of a training also sets up the optimizer's state.
        assert number <= first
        return number


def run_on(kind, config, folder, monkeypatch):
    """Return the record of a run on the CPU or on the pretended GPU, and its ``Steps``."""
    context = pretended_gpu() if kind == "gpu" else nullcontext()
    with monkeypatch.context() as patch, context as report:
        steps = None if report is None else Steps(report, patch)
        job = Job(config, "model", "test", str(folder), "disabled")
        record = run(job, gpus=Reserved(("0",) if kind == "gpu" else ()))
    if record["status"] == "ok":
        assert record["environment"]["gpu"] == (None if report is None else "Pretended GPU")
    return record, steps


@pytest.mark.parametrize("model", alike_are_long(TRAINED))
def test_a_gpu_gives_the_cpus_bytes_and_nothing_waits_in_a_step(model, tmp_path, monkeypatch):
    config = config_of(model)
    record, _ = run_on("cpu", config, tmp_path / "cpu", monkeypatch)
    ours, steps = run_on("gpu", config, tmp_path / "gpu", monkeypatch)
    assert record["status"] == ours["status"] == "ok", ours.get("reason")
    assert [name for name in SAME if record[name] != ours[name]] == []
    assert len(steps.between) == 4
    assert steps.waits() == set()
    assert steps.kernels() == KERNELS[model]


@pytest.mark.parametrize("model", FITTED)
def test_models_without_gradient_steps_give_the_cpus_bytes(model, tmp_path, monkeypatch):
    config = config_of(model)
    record, _ = run_on("cpu", config, tmp_path / "cpu", monkeypatch)
    ours, _ = run_on("gpu", config, tmp_path / "gpu", monkeypatch)
    assert record["status"] == ours["status"] == "ok", ours.get("reason")
    assert [name for name in SAME if record[name] != ours[name]] == []


def test_captured_steps_read_nothing_and_give_the_numbers_of_eager_ones(tmp_path, monkeypatch):
    """A captured graph replays what was recorded: no operation of it may depend on the host."""
    config = config_of("gated_exemplar_vae")
    record, _ = run_on("cpu", config, tmp_path / "cpu", monkeypatch)
    # A group has two mini-batches here.
    monkeypatch.setattr("bench.training.captured.EAGER_STEPS", 1)
    with pretended_gpu() as report, recorded_graphs():
        job = Job(config, "model", "test", str(tmp_path / "gpu"), "disabled")
        ours = run(job, gpus=Reserved(("0",)))
    assert ours["status"] == "ok", ours.get("reason")
    assert RecordedGraph.captures == 1 and RecordedGraph.replays > 2
    assert not [line for line in ours["notes"] if "captured" in line]
    for theirs, mine in zip(record["history"], ours["history"], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)
    assert report.kernels.total() > 0


FAULTS = {
    "an item": (lambda x: x.sum().item(), "_local_scalar_dense"),
    "a nonzero": (lambda x: x.nonzero(), "nonzero"),
    "a copy to the host": (lambda x: x.to("cpu", non_blocking=True), "copy to the host"),
    "a kernel": (lambda x: x * 2, None),
}
MISTAKES = {
    "a cumsum": (lambda x: x.cumsum(0), "does not have a deterministic implementation"),
    "a CPU tensor": (lambda x: x + torch.ones(len(x)), "tensors on both devices"),
}


def faulty(monkeypatch, fault):
    """Let every training step also do ``fault`` with its reconstruction (batch,)."""
    add = EpochMeans.add

    def added(means, terms):
        fault(terms.reconstruction[0])
        add(means, terms)

    monkeypatch.setattr(EpochMeans, "add", added)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_step_is_seen(fault, tmp_path, monkeypatch):
    work, kind = FAULTS[fault]
    faulty(monkeypatch, work)
    record, steps = run_on("gpu", config_of("bernoulli_vae"), tmp_path, monkeypatch)
    assert record["status"] == "ok"
    assert {found for found, _ in steps.waits()} == ({kind} if kind else set())
    if kind is None:
        assert steps.kernels() == KERNELS["bernoulli_vae"] + 1


@pytest.mark.parametrize("fault", MISTAKES)
def test_a_mistake_in_a_step_fails_the_run(fault, tmp_path, monkeypatch):
    work, reason = MISTAKES[fault]
    faulty(monkeypatch, work)
    record, _ = run_on("gpu", config_of("bernoulli_vae"), tmp_path, monkeypatch)
    assert record["status"] == "failed" and reason in record["reason"]


@pytest.mark.parametrize("model", ["bernoulli_vae", "gaussian_vae", "aggregate_vae", "realnvp"])
def test_a_gpu_evaluates_a_checkpoint_with_the_cpus_noise(model, tmp_path, monkeypatch):
    """Its generator would draw other numbers, and no number of evaluation comes from it."""
    config = config_of(model)
    record, _ = run_on("cpu", config, tmp_path, monkeypatch)
    with pretended_gpu(own_numbers=True):
        trained = load_trained(tmp_path / BEST)
        metrics, images = evaluate_model(
            trained.model, trained.data, config, "cuda", lambda *progress: None
        )
        latent = latent_map(trained.model, trained.data, config["seed"], "cuda")
        if hasattr(trained.model, "reconstruction_from_prior"):
            y = trained.data.test[:10].to("cuda")
            naive = [part.cpu() for part in naive_evidence(trained.model, y, 10, "naive")]
    assert metrics == record["metrics"] and latent == record["latent"]
    assert all(
        bench.runs.run.png(grid, trained.data) == record["images"][name]
        for name, grid in images.items()
    )
    again = load_trained(tmp_path / BEST)
    again.model.eval().attach(again.data.train)
    if hasattr(again.model, "reconstruction_from_prior"):
        assert all(map(torch.equal, naive, naive_evidence(again.model, y.cpu(), 10, "naive")))


def test_a_gpu_trains_with_its_own_noise(tmp_path, monkeypatch):
    """So the test above can fail."""
    config = config_of("gaussian_vae")
    record, _ = run_on("cpu", config, tmp_path / "cpu", monkeypatch)
    with pretended_gpu(own_numbers=True):
        job = Job(config, "model", "test", str(tmp_path / "gpu"), "disabled")
        ours = run(job, gpus=Reserved(("0",)))
    assert ours["status"] == "ok" and ours["history"] != record["history"]
