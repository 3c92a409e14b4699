"""The settings that determinism takes, where they are taken, and that a library's user keeps theirs."""

import os

import pytest
import torch

from bench import BernoulliVAE, EvaluationConfig, Task, evaluate, load_task
from bench.configuration.job import Job
from bench.runs.run import run
from bench.system.determinism import deterministic, deterministically
from tests.conftest import small_config

VARIABLE = "CUBLAS_WORKSPACE_CONFIG"


def settings() -> tuple:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.get_float32_matmul_precision(),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
    )


WANTED = (True, False, False, "highest", False, False)


@pytest.fixture
def careless(monkeypatch):
    """The settings of a process that prefers speed, and none for cuBLAS; put back at the end."""
    with deterministically():
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = True
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        monkeypatch.delenv(VARIABLE, raising=False)
        yield settings()


def test_deterministic_takes_every_setting(careless):
    assert settings() != WANTED
    deterministic()
    assert settings() == WANTED
    assert os.environ[VARIABLE] == ":4096:8"


def test_a_users_own_workspace_stays(careless, monkeypatch):
    monkeypatch.setenv(VARIABLE, ":16:8")
    deterministic()
    assert os.environ[VARIABLE] == ":16:8"


def test_settings_come_back_after_an_error_too(careless):
    with pytest.raises(ValueError), deterministically():
        assert settings() == WANTED
        raise ValueError
    assert settings() == careless


def test_a_run_trains_and_evaluates_deterministically(careless, tmp_path, monkeypatch):
    seen = {}
    config = small_config("bernoulli_vae", "digits-binary", "--trainer.max_epochs=2")

    def look(phase, share, text):
        seen.setdefault(phase, set()).add((*settings(), os.environ.get(VARIABLE)))

    record = run(Job(config, "model", "test", str(tmp_path), "disabled"), look)
    assert record["status"] == "ok"
    assert seen.keys() == {"train", "evaluate"}
    assert all(found == {(*WANTED, ":4096:8")} for found in seen.values())


def test_the_librarys_evaluation_leaves_the_callers_settings(careless, monkeypatch):
    data, seen = load_task(Task("digits", "threshold")), []
    model = BernoulliVAE(data.shape, data.task.levels, latent_dimensions=2).model
    original = type(model).terms

    def watched(self, *arguments, **named):
        seen.append(settings())
        return original(self, *arguments, **named)

    monkeypatch.setattr(type(model), "terms", watched)
    evaluate(model, data, EvaluationConfig(importance_samples=2, importance_data=10))
    assert set(seen) == {WANTED}
    assert settings() == careless
