"""Steps that are replayed as a CUDA graph agree with steps that are taken one operation at a time."""

import pytest
import torch

from bench.training.many_steps import BATCHES_AT_ONCE
from bench.training.together import Together
from tests.conftest import small_config
from tests.recorded_graph import RecordedGraph, recorded_graphs
from tests.training.test_stacked import STACKED, configurations, trained, trained_together

CONVOLUTIONAL = ["--model.channels=4", "--model.blocks=1", "--model.couplings=2"]
# What changes between steps and epochs: the learning rate and the weight of the KL.
CHANGING = ["--trainer.schedule=cosine", "--trainer.kl_warmup_epochs=3"]


def config_of(model):
    task, options = STACKED[model]
    return small_config(model, task, "--trainer.max_epochs=2", *CHANGING, *options)


def trained_alone(config, folder, notes):
    return trained(config, folder, Together(1, BATCHES_AT_ONCE, notes.append).seats[0])


def assert_same(weights, history, ours, our_history):
    """To the rounding of the learning rate, which a graph reads from a float32 tensor."""
    for theirs, mine in zip(history, our_history, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-6)
    for name in weights:
        assert torch.allclose(weights[name], ours[name], atol=2e-5), name


@pytest.mark.parametrize(
    "model", ["gaussian_vae", "gated_vae", "aggregate_vae", "gated_exemplar_vae", "realnvp"]
)
def test_captured_steps_are_those_of_the_eager_loop(model, tmp_path):
    notes = []
    weights, history, _ = trained_alone(config_of(model), tmp_path / "eager", notes)
    with recorded_graphs():
        captured, our_history, _ = trained_alone(config_of(model), tmp_path / "captured", notes)
    assert notes == [] and RecordedGraph.captures == 1
    # Two epochs of eleven steps, of which the first three are eager.
    assert RecordedGraph.replays == 2 * 11 - 3
    assert_same(weights, history, captured, our_history)


def test_a_captured_stack_loses_a_run(tmp_path):
    configs = configurations("gated_vae", *CHANGING)
    folders = [tmp_path / str(number) for number in range(6)]
    eager = trained_together(configs, folders[:3])
    with recorded_graphs():
        captured = trained_together(configs, folders[3:])
    # The third run ends an epoch before the others, which are captured anew.
    assert RecordedGraph.captures == 2
    for (weights, history, _), (ours, our_history, _) in zip(eager, captured):
        assert_same(weights, history, ours, our_history)


def test_a_step_that_cannot_be_captured_stays_eager_and_says_so(tmp_path, monkeypatch):
    config, notes = config_of("bernoulli_vae"), []
    weights, history, _ = trained_alone(config, tmp_path / "eager", notes)
    original = torch.nn.Linear.forward

    def waiting(self, x):
        x.sum().item()
        return original(self, x)

    monkeypatch.setattr(torch.nn.Linear, "forward", waiting)
    with recorded_graphs():
        ours, our_history, _ = trained_alone(config, tmp_path / "captured", notes)
    (note,) = notes
    assert note.startswith("steps are not captured as a CUDA graph: operation not permitted")
    assert_same(weights, history, ours, our_history)


def test_an_optimizer_that_reads_on_the_host_is_not_captured(tmp_path):
    config = small_config("gaussian_vae", "digits-17", "--trainer.optimizer=rmsprop")
    notes = []
    with recorded_graphs():
        trained_alone(config, tmp_path, notes)
    (note,) = notes
    assert "RMSprop reads its learning rate on the host" in note


def test_a_captured_training_that_is_resumed_has_the_same_bits(tmp_path):
    """Though it starts with steps that are not replayed, in the middle of those that were."""
    config = config_of("gated_vae")

    def killed(epoch):
        if epoch == 1:
            raise RuntimeError("killed")

    with recorded_graphs():
        weights, history, _ = trained_alone(config, tmp_path / "whole", [])
        seat = Together(1, BATCHES_AT_ONCE, print).seats[0]
        take = seat.take
        seat.take = lambda run, group: (killed(run.current_epoch), take(run, group))
        with pytest.raises(RuntimeError, match="killed"):
            trained(config, tmp_path / "cut", seat)
        ours, our_history, _ = trained_alone(config, tmp_path / "cut", [])
    assert our_history == history
    for name in weights:
        assert torch.equal(weights[name], ours[name]), name
