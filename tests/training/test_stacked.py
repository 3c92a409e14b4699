"""Stacked runs: the weights, the history and the checkpoints of runs that train alone."""

import pytest
import torch

from bench.configuration.job import Job
from bench.configuration.models import build_model
from bench.configuration.parsing import parse_run
from bench.data.tasks import load_task, task_of
from bench.runs.plan import plan_of
from bench.settings import trainer_config
from bench.training.checkpoints import LAST, read_checkpoint
from bench.training.fit import Listeners, fit
from bench.training.many_steps import BATCHES_AT_ONCE
from bench.training.stacked import why_not_stacked
from bench.training.together import Seat, Together
from bench.training.turns import Turns
from tests.conftest import small_config
from tests.small_models import alike_are_long

NARROW = ["--model.encoder.widths=[20]", "--model.decoder_network.widths=[20]"]
SMALL_FLOW = ["--model.widths=[16]", "--model.couplings=2"]
STACKED = {
    "bernoulli_vae": ("digits-binary", []),
    "gaussian_vae": ("digits-17", ["--model.decoder.sigma=optimal"]),
    "aggregate_vae": ("digits-17", []),
    "gated_vae": ("digits-binary", [*NARROW, "--trainer.normalize_gradients=true"]),
    "gated_vamp_vae": ("digits-binary", [*NARROW, "--model.prior.pseudo_inputs=30"]),
    "gated_aggregate_vae": ("digits-binary", [*NARROW, "--model.prior.exemplars=50"]),
    "gated_exemplar_vae": ("digits-binary", NARROW),
    "gated_flow_vae": ("digits-binary", [*NARROW, "--model.prior.widths=[16]"]),
    "gated_mixture_vae": ("digits-binary", [*NARROW, "--model.prior.components=10"]),
    "iwae_paper_vae": (
        "digits-binary",
        [*NARROW, "--trainer.objective=importance_weighted", "--trainer.samples=3"],
    ),
    "full_covariance_vae": ("digits-binary", NARROW),
    "flow_posterior_vae": ("digits-binary", [*NARROW, "--model.posterior.widths=[8]"]),
    "relu_vae": ("digits-binary", NARROW),
    "relu_vamp_vae": ("digits-binary", [*NARROW, "--model.prior.pseudo_inputs=10"]),
    "relu_iwae_vae": ("digits-binary", NARROW),
    "integer_discrete_flow": ("digits-17", ["--model.widths=[16]", "--model.couplings=2"]),
    "realnvp": ("digits-17", ["--trainer.gradient_clip_norm=1"]),
    "variational_realnvp": ("digits-17", SMALL_FLOW),
}
ALONE = {
    "convolutional_vae": "convolutions do not gain by it",
    "convolutional_realnvp": "convolutions do not gain by it",
    "variational_convolutional_realnvp": "convolutions do not gain by it",
    "bolts_vae": "convolutions do not gain by it",
    "resnet_vae": "convolutions do not gain by it",
    "linear_gaussian": "it is not trained by gradients",
    "gaussian_mixture": "it is not trained by gradients",
    "independent_pixels": "it is not trained by gradients",
    "uniform": "it is not trained by gradients",
}


def configurations(model, *more):
    task, options = STACKED[model]
    own = (
        ["--seed=1"],
        ["--seed=2", "--trainer.learning_rate=0.003", "--trainer.beta=0.5"],
        ["--seed=3", "--trainer.max_epochs=1", "--trainer.kl_warmup_epochs=4"],
    )
    common = ["--trainer.max_epochs=2", "--trainer.validate_every=1", *options, *more]
    return [small_config(model, task, *common, *one) for one in own]


def trained(config, folder, seat=None):
    """Train a run, and return its weights, its history and the size of its checkpoint."""
    data, job = load_task(task_of(config)), Job(config, "m", "t", str(folder), "disabled")
    model, points = build_model(config, data.shape, data.task.levels), []
    try:
        listeners = Listeners(lambda *_: None, lambda line: None, points.append)
        fitted = fit(
            model, data, plan_of(job, torch.device("cpu")), [torch.device("cpu")], listeners, seat
        )
    finally:
        if seat is not None:
            seat.leave()
    # Each epoch has all curves, also before the first validation.
    assert len({tuple(sorted(name for name in p if "train" in name)) for p in points}) <= 1
    return model.state_dict(), fitted["history"], (folder / LAST).stat().st_size


def trained_together(configs, folders):
    together = Together(len(configs), BATCHES_AT_ONCE, print, lambda: turns.pass_on())
    turns = Turns(
        [
            lambda each=each: trained(*each)
            for each in zip(configs, folders, list(together.seats), strict=True)
        ]
    )
    return turns.run()


@pytest.mark.parametrize("model", alike_are_long(STACKED))
def test_stacked_and_single_runs_agree_to_rounding(model, tmp_path):
    configs = configurations(model)[:: 1 if model == "gated_vae" else 2]
    folders = [tmp_path / str(number) for number in range(len(configs))]
    alone = [trained(config, tmp_path / "alone" / str(i)) for i, config in enumerate(configs)]
    together = trained_together(configs, folders)
    for (weights, history, size), (ours, our_history, our_size) in zip(alone, together):
        assert weights.keys() == ours.keys()
        for name in weights:
            # Adam divides by the gradient's size, which makes much of the rounding of small ones.
            assert torch.allclose(weights[name], ours[name], atol=2e-4), name
        assert [point["epoch"] for point in history] == [point["epoch"] for point in our_history]
        for theirs, mine in zip(history, our_history):
            assert mine == pytest.approx(theirs, rel=1e-4)
        assert our_size == pytest.approx(size, rel=0.02)


def test_a_stack_that_was_cut_off_resumes(tmp_path, monkeypatch):
    """One run has an epoch more than the other when they meet again."""
    configs = configurations("gated_vae", "--trainer.max_epochs=3")[:2]
    whole = trained_together(configs, [tmp_path / "a", tmp_path / "b"])
    folders = [tmp_path / "c", tmp_path / "d"]

    original = Seat.take

    def take(self, run, group):
        if run.current_epoch >= {1: 2, 2: 1}[run.seed]:
            raise RuntimeError("killed")
        return original(self, run, group)

    monkeypatch.setattr(Seat, "take", take)
    monkeypatch.setattr("bench.training.rare_checkpoints.SECONDS", 0.0)
    with pytest.raises(RuntimeError, match="killed"):
        trained_together(configs, folders)
    monkeypatch.undo()
    epochs = [read_checkpoint(folder / LAST)["epoch"] for folder in folders]
    assert epochs == [1, 0]
    resumed = trained_together(configs, folders)
    for (weights, history, _), (ours, our_history, _) in zip(whole, resumed):
        assert len(our_history) == len(history)
        for name in weights:
            assert torch.allclose(weights[name], ours[name], atol=2e-4), name


def test_models_that_do_not_stack_are_named():
    for model, reason in ALONE.items():
        config = parse_run(["--data", "cifar10-256", "--model", model])
        built = build_model(config, (3, 32, 32), 256)
        assert why_not_stacked(built, trainer_config(config)) == reason


def test_every_model_either_stacks_or_is_named():
    from bench.configuration.files import CONFIGS

    assert {path.stem for path in (CONFIGS / "model").glob("*.yaml")} == {*STACKED, *ALONE}


@pytest.mark.parametrize(
    "option, reason",
    [
        ("--trainer.compile=default", "its networks are compiled"),
        ("--trainer.devices=2", "it trains on several devices"),
    ],
)
def test_settings_that_do_not_stack(option, reason):
    config = small_config("gaussian_vae", "digits-17", option)
    data = load_task(task_of(config))
    built = build_model(config, data.shape, data.task.levels)
    assert why_not_stacked(built, trainer_config(config)) == reason
