"""What goes wrong around a run: disks, memory, W&B, other processes, signals."""

import errno
import os
import signal
import time

import psutil
import pytest
import torch
import yaml

import bench.runs.run
from bench.__main__ import main
from bench.configuration.job import Job
from bench.errors import InputError
from bench.records.record import read_record, write_record
from bench.runs.log import RunLog
from bench.runs.run import reason_of, run
from bench.sweep.driver import SweepOptions, make_plan, settle
from bench.sweep.engine import Finished
from bench.sweep.folder import locked
from bench.sweep.progress import SweepProgress
from bench.training.checkpoints import LAST, CheckedCheckpointIO, content_hash, read_checkpoint
from bench.training.module import TrainingDiverged
from tests import chaos
from tests.conftest import patience, small_config


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def job_in(folder, *options, wandb="disabled", **more):
    config = small_config("gaussian_vae", "digits-17", *options)
    return Job(config, "gaussian_vae", "s", str(folder), wandb, **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    record = run(job_in(tmp_path_factory.mktemp("whole")))
    assert record["status"] == "ok"
    return record


def test_a_disk_that_is_full_in_training_is_no_result(tmp_path, monkeypatch, whole):
    with monkeypatch.context() as patch:
        patch.setattr(CheckedCheckpointIO, "save_checkpoint", full)
        with pytest.raises(InputError, match="storage: No space left on device; not recorded"):
            run(job_in(tmp_path))
    assert run(job_in(tmp_path))["metrics"] == whole["metrics"]


def test_a_disk_that_is_full_for_a_record_loses_no_other(tmp_path, monkeypatch, whole):
    record = {name: part for name, part in whole.items() if name != "notes"}
    path = write_record(tmp_path / "runs", record)
    before = path.read_bytes()
    other = record | {"key": "0" * 16}
    with (
        SweepProgress({other["key"]: "other"}, 0, set()) as progress,
        monkeypatch.context() as patch,
    ):
        patch.setattr("bench.system.files.os.fsync", full)
        with pytest.raises(InputError, match="No space left on device; what is recorded is safe"):
            settle(Finished(other["key"], other | {"notes": []}), tmp_path, progress)
    assert path.read_bytes() == before and not list(tmp_path.rglob("*.partial"))
    assert [p.parent.name for p in tmp_path.rglob("record.json")] == [record["key"]]


def test_results_that_cannot_be_written_are_refused_before_training(tmp_path, monkeypatch):
    def read_only(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("bench.sweep.folder.write_atomically", read_only)
    with pytest.raises(InputError, match="results: .* cannot be written: Read-only file system"):
        with locked(tmp_path / "results"):
            raise AssertionError("went on")


def test_a_second_driver_refuses(tmp_path):
    with locked(tmp_path), pytest.raises(InputError, match="another sweep is writing"):
        with locked(tmp_path):
            raise AssertionError("went on")


def test_a_second_process_does_not_do_the_same_run(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.runs.log.LOCK_SECONDS", 0.3)
    with RunLog(tmp_path), pytest.raises(InputError, match="another process does this run"):
        RunLog(tmp_path)
    with RunLog(tmp_path) as log:  # let go of by the first
        log.write("x")


def test_an_altered_checkpoint_is_noticed_said_and_not_used(tmp_path, whole):
    run(job_in(tmp_path))
    held = torch.load(tmp_path / LAST, weights_only=True)
    next(iter(held["state_dict"].values())).view(-1)[0] += 1.0
    torch.save(held, tmp_path / LAST)
    with pytest.raises(InputError, match="was altered"):
        read_checkpoint(tmp_path / LAST)
    again = run(job_in(tmp_path))
    assert again["metrics"] == whole["metrics"]
    assert "was altered" in again["notes"][0] and "from the start" in again["notes"][0]


def test_the_hash_of_a_checkpoint_sees_every_part():
    parts = {"a": torch.ones(2), "b": [1, {"c": torch.zeros(3, dtype=torch.int64)}], "d": None}
    seen = {content_hash(parts)}
    for change in (
        {"a": torch.ones(2, dtype=torch.float64)},
        {"a": torch.ones(1, 2)},
        {"b": [1, {"c": torch.tensor([0, 0, 1])}]},
        {"b": [True, {"c": torch.zeros(3, dtype=torch.int64)}]},
        {"d": "None"},
        {"e": 1},
    ):
        seen.add(content_hash(parts | change))
    assert len(seen) == 7
    assert content_hash(dict(reversed(parts.items()))) in seen


def test_checkpoints_go_to_another_file_system_and_come_back(tmp_path, whole):
    """A run that was cut off on one machine goes on from its storage on another."""
    storage = "memory://bucket/sweep/key"
    first = run(job_in(tmp_path / "one", "--trainer.max_epochs=2", storage=storage))
    assert first["status"] == "ok" and not list((tmp_path / "one").rglob("*.ckpt"))
    assert read_checkpoint(f"{storage}/{LAST}")["epoch"] == 1
    # Another machine has nothing of the first one's folder.
    again = run(job_in(tmp_path / "two", "--trainer.max_epochs=2", storage=storage))
    assert again["metrics"] == first["metrics"] and not again["notes"]
    # Of another configuration it is of no use, and is said to be.
    other = run(job_in(tmp_path / "three", storage=storage))
    assert other["metrics"] == whole["metrics"] and "another configuration" in other["notes"][0]


def test_a_divergence_is_repeated_and_reported_with_its_step(tmp_path):
    options = ("--trainer.optimizer=sgd", "--trainer.learning_rate=1e30")
    record = run(job_in(tmp_path, *options))
    assert record["status"] == "failed"
    assert "in step 2 of epoch 1; last finite ELBO: -" in record["reason"]
    assert len(record["notes"]) == 1 and "repeated from the start" in record["notes"][0]
    assert (tmp_path / "log.txt").read_text().count("TrainingDiverged") >= 1


def test_a_divergence_that_does_not_repeat_fails_the_run_all_the_same(tmp_path, monkeypatch):
    original, calls = bench.runs.run.fit, []

    def once(*arguments):
        calls.append(1)
        if len(calls) == 1:
            raise TrainingDiverged("by a cosmic ray")
        return original(*arguments)

    monkeypatch.setattr(bench.runs.run, "fit", once)
    record = run(job_in(tmp_path))
    assert record["status"] == "failed" and len(calls) == 2
    assert "not reproducibly: first by a cosmic ray" in record["reason"]


def test_want_of_memory_is_named(tmp_path, monkeypatch):
    def too_much(*_, **__):
        torch.empty(2**60)

    monkeypatch.setattr(bench.runs.run, "evaluate", too_much)
    record = run(job_in(tmp_path))
    assert record["status"] == "failed" and record["reason"] == "out of memory"
    assert reason_of(MemoryError()) == "out of memory"


def test_trouble_with_wandb_does_not_end_a_run(tmp_path, monkeypatch, whole):
    from wandb.sdk.wandb_run import Run

    monkeypatch.setattr(Run, "log", full)
    record = run(job_in(tmp_path, wandb="offline"))
    assert record["metrics"] == whole["metrics"]
    assert any("W&B" in note and "No space left" in note for note in record["notes"])


SWEEP = {
    "matrix": {"data": ["digits-17"], "model": ["gaussian_vae", "realnvp"], "seed": [1, 2]},
    "trainer": "digits",
    "overrides": [
        {
            "when": {"model": ["gaussian_vae", "realnvp"]},
            "set": {"trainer.max_epochs": 40, "evaluation.importance_samples": 10},
        },
    ],
}


@pytest.fixture(scope="module")
def sweep_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "interrupted.yaml"
    path.write_text(yaml.safe_dump(SWEEP))
    return path


def words(sweep_file, results, *more):
    return ["sweep", str(sweep_file), "--results", str(results), "--wandb", "disabled", *more]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_an_interrupted_sweep_ends_soon_and_says_how_to_go_on(
    number, warm, sweep_file, tmp_path, capsys
):
    driver = warm.start("-m", "bench", *words(sweep_file, tmp_path, "--workers", "1"))
    runs = tmp_path / "interrupted" / "runs"
    deadline = time.monotonic() + patience(120)
    while not list(runs.glob(f"*/{LAST}")) and time.monotonic() < deadline:
        time.sleep(0.1)
    family = psutil.Process(driver.pid).children(recursive=True)
    # As a terminal does it: to every process of the group.
    os.killpg(driver.pid, number)
    started = time.monotonic()
    code, output = driver.wait(patience(60)), driver.stdout + driver.stderr
    assert time.monotonic() - started < patience(30), output
    assert code == 130, output
    assert "stopped; the same command resumes where this one ended" in output
    assert "Traceback" not in output
    gone, alive = psutil.wait_procs(family, timeout=patience(10))
    assert not alive
    assert main(["status", "interrupted", "--results", str(tmp_path)]) == 1
    assert "no driver is at work" in capsys.readouterr().out


def test_a_dry_run_writes_nothing_and_only_selects(sweep_file, tmp_path, capsys):
    for more in ([], ["--only", "model=realnvp seed=2"]):
        assert main(words(sweep_file, tmp_path / "r", "--dry-run", *more)) == 0
        output = capsys.readouterr().out
        jobs = make_plan(str(sweep_file), tmp_path / "r", SweepOptions()).jobs
        named = [key for key in jobs if key in output]
        assert len(named) == (1 if more else len(jobs) == 6 and 6), output
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.parametrize("victim", [*chaos.VICTIMS])
def test_chaos_in_short(victim, tmp_path, monkeypatch):
    """A process of each kind killed once; `make chaos` is the long version."""
    monkeypatch.setattr(chaos, "VICTIMS", {victim: 1})
    sweep = yaml.safe_load(chaos.SWEEP.read_text())
    sweep["matrix"]["seed"] = [1]
    path = tmp_path / "chaos.yaml"
    path.write_text(yaml.safe_dump(sweep))
    assert chaos.chaos(path, tmp_path, 1, 3, lambda phase, share, text: None) == {victim: 1}
    records = list(tmp_path.glob("disturbed-1/*/runs/*/record.json"))
    assert records and all(read_record(path)["status"] == "ok" for path in records)


def test_failures_are_counted_kept_and_done_again_only_when_asked(
    without_engine, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("bench.report.plots.figures_of", lambda records: {})
    diverging = {"trainer.optimizer": "sgd", "trainer.learning_rate": 1e30, "model.couplings": 2}
    sweep = {
        "matrix": {"data": ["digits-17"], "model": ["realnvp"], "seed": {"from": 1, "to": 3}},
        "trainer": "digits",
        "overrides": [{"when": {"model": "realnvp"}, "set": diverging}],
    }
    path = tmp_path / "failing.yaml"
    path.write_text(yaml.safe_dump(sweep))
    sweep = words(path, tmp_path, "--workers", "1")
    assert main([*sweep, "--max-failures", "1"]) == 2
    assert "2 runs have failed, more than max_failures" in capsys.readouterr().err
    records = list((tmp_path / "failing").rglob("record.json"))
    reasons = [read_record(record).get("reason", "") for record in records]
    assert sum("last finite ELBO" in reason for reason in reasons) == 2
    # What failed keeps its record, until it is asked for.
    assert main(sweep) == 1
    assert "5 runs, 4 with a record" in capsys.readouterr().out
    assert main([*sweep, "--retry-failed"]) == 1
    assert "5 runs, 2 with a record" in capsys.readouterr().out
