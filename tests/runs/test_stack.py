"""Runs that train as one network: each has the record that it would have alone."""

import pytest

from bench.configuration.job import Job
from bench.errors import InputError
from bench.runs.run import run
from bench.runs.stack import run_stack
from bench.training.together import Seat
from tests.conftest import small_config

EPOCHS = ["--trainer.max_epochs=2", "--trainer.validate_every=1"]


def jobs_in(folder, number=2):
    configs = [
        small_config("bernoulli_vae", "digits-binary", *EPOCHS, f"--seed={seed}")
        for seed in range(1, number + 1)
    ]
    return [
        Job(config, "m", "t", str(folder / config_name(config)), "disabled") for config in configs
    ]


def config_name(config):
    return str(config["seed"])


def values(record):
    return {
        f"{split} {name}": estimate["value"]
        for split, columns in record["metrics"].items()
        for name, estimate in columns.items()
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return [run(job) for job in jobs_in(tmp_path_factory.mktemp("alone"))]


def test_records_are_those_of_single_runs(alone, tmp_path):
    seen = []
    jobs = jobs_in(tmp_path)
    records = run_stack(jobs, lambda key: lambda phase, *_: seen.append((key, phase)))
    for ours, theirs, job in zip(records, alone, jobs):
        assert (ours["status"], ours["key"]) == ("ok", job.key)
        assert ours["environment"]["stacked"] == 2 and "stacked" not in theirs["environment"]
        assert values(ours) == pytest.approx(values(theirs), rel=1e-4, abs=1e-4)
        assert ours["best_epoch"] == theirs["best_epoch"]
        assert {(job.key, "train"), (job.key, "evaluate")} <= set(seen)


def test_a_run_that_fails_in_a_stack_is_done_alone(alone, tmp_path, monkeypatch):
    original = Seat.take

    def take(self, run, group):
        if run.seed == 2 and run.current_epoch == 1:
            raise RuntimeError("its own trouble")
        original(self, run, group)

    monkeypatch.setattr(Seat, "take", take)
    first, second = run_stack(jobs_in(tmp_path))
    # The second resumed what the stack had begun.
    assert first["environment"]["stacked"] == second["environment"]["stacked"] == 2
    assert values(first) == pytest.approx(values(alone[0]), rel=1e-4, abs=1e-4)
    assert values(second) == pytest.approx(values(alone[1]), rel=1e-4, abs=1e-4)
    log = (tmp_path / "2" / "log.txt").read_text()
    assert "RuntimeError: its own trouble" in log and "not stacked: RuntimeError" in log


def test_steps_that_fail_are_taken_by_each_alone(alone, tmp_path, monkeypatch):
    """As where a stack's memory is not to be had."""

    def out_of_memory(self, batches):
        raise MemoryError("the stack needs more than there is")

    monkeypatch.setattr("bench.training.stacked.StackedStep.__call__", out_of_memory)
    records = run_stack(jobs_in(tmp_path))
    assert [values(record) for record in records] == [values(record) for record in alone]


def test_a_run_that_diverges_in_a_stack_is_judged_alone(tmp_path):
    options = ["--trainer.learning_rate=1e9", "--trainer.optimizer=sgd"]
    configs = [
        small_config("gaussian_vae", "digits-17", *EPOCHS, *more)
        for more in (["--seed=1", "--trainer.optimizer=sgd"], ["--seed=2", *options])
    ]
    jobs = [Job(c, "m", "t", str(tmp_path / config_name(c)), "disabled") for c in configs]
    good, diverged = run_stack(jobs)
    assert good["status"] == "ok" and diverged["status"] == "failed"
    assert diverged["reason"].startswith("diverged: ")
    assert "not reproducibly" not in diverged["reason"]


def test_a_mistake_of_the_user_ends_the_stack(tmp_path, monkeypatch):
    def refuse(*_):
        raise InputError("data: missing")

    monkeypatch.setattr("bench.runs.run.load_task", refuse)
    with pytest.raises(InputError, match="data: missing"):
        run_stack(jobs_in(tmp_path))


def test_an_interrupted_stack_resumes(alone, tmp_path):
    def interrupt(key):
        def progress(phase, share, text):
            if phase == "evaluate":
                raise KeyboardInterrupt

        return progress

    jobs = jobs_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_stack(jobs, interrupt)
    for ours, theirs in zip(run_stack(jobs), alone):
        assert values(ours) == pytest.approx(values(theirs), rel=1e-4, abs=1e-4)
