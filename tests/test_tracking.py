"""What a run's name or the environment may hold without costing it its W&B run."""

import os

import pytest

from bench.config import Job
from bench.tracking import LONGEST_TAG, agents_sweep, tracked
from tests.conftest import small_config


@pytest.mark.parametrize("model", ["m" * 200, "a | <b> `c` \"d\" 'e' = é", " "])
def test_a_run_of_any_name_is_tracked_under_its_key(tmp_path, model):
    job = Job(small_config("gaussian_vae"), model, "s", str(tmp_path), "offline")
    said = []
    with tracked(job, "digits-17", True, said.append) as tracker:
        assert tracker.logger is not None, said
        run = tracker.logger.experiment
        assert run.id == job.key and run.group == "s"
        assert set(run.tags) == {"digits-17", model[:LONGEST_TAG]}
    assert not said
    assert len(list(tmp_path.glob(f"wandb/offline-run-*/run-{job.key}.wandb"))) == 1


def test_an_agents_sweep_is_hidden_and_given_back(monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    with pytest.raises(KeyError), agents_sweep() as sweep:
        assert sweep == "abc" and "WANDB_SWEEP_ID" not in os.environ
        raise KeyError
    assert os.environ["WANDB_SWEEP_ID"] == "abc"
    monkeypatch.delenv("WANDB_SWEEP_ID")
    with agents_sweep() as sweep:
        assert sweep is None
    assert "WANDB_SWEEP_ID" not in os.environ
