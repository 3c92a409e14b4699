"""Checkpoints by a pretended clock: how often they are written, and what a kill leaves behind."""

import pytest
import torch

from bench.configuration.job import Job
from bench.runs.run import run
from bench.training import rare_checkpoints
from bench.training.checkpoints import BEST, LAST, CheckedCheckpointIO, read_checkpoint
from bench.training.many_steps import ManySteps
from bench.training.rare_checkpoints import RareCheckpointIO
from tests.conftest import small_config


class Killed(BaseException):
    """Ends a training on the spot, as SIGKILL does: nothing catches it."""


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(rare_checkpoints, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def written(monkeypatch):
    """[(name of the file, epoch)] of what is written; what comes after ``left`` of them is killed."""
    files = []
    original = CheckedCheckpointIO.save_checkpoint

    def write(self, checkpoint, path, *more):
        if len(files) == write.left:
            raise Killed
        files.append((str(path).rpartition("/")[2], checkpoint["epoch"]))
        original(self, checkpoint, path, *more)

    write.left = None
    monkeypatch.setattr(CheckedCheckpointIO, "save_checkpoint", write)
    files_of = lambda: files
    files_of.kill_after = lambda number: setattr(write, "left", number)
    return files_of


def test_files_are_written_every_half_minute_the_best_before_the_last(clock, written, tmp_path):
    checkpoints, weights = RareCheckpointIO(), torch.zeros(2)
    best_epochs = (0, 1, 3, 4, 8)
    for epoch in range(10):  # of 7 s each
        weights += 1
        state = {"epoch": epoch, "weights": weights, "history": [weights]}
        if epoch in best_epochs:
            checkpoints.save_checkpoint(state, tmp_path / BEST)
        checkpoints.save_checkpoint(state, tmp_path / LAST)
        clock.now += 7
    # The first at once; then 35 s later, where the newest best one is kept before; then the end.
    assert written() == [(BEST, 0), (LAST, 0), (BEST, 4), (LAST, 5)]
    checkpoints.finish()
    assert written()[4:] == [(BEST, 8), (LAST, 9)]
    for name, epoch in ((BEST, 8), (LAST, 9)):
        held = torch.load(tmp_path / name, weights_only=True)
        # As they were at that time, whatever the training did to them since.
        assert held["weights"].tolist() == held["history"][0].tolist() == [epoch + 1.0] * 2
    checkpoints.finish()
    assert len(written()) == 6


def numbers(record):
    assert record["status"] == "ok", record
    return record["metrics"], record["history"], record["best_epoch"], record["images"]


def job_in(folder):
    """A flow that overfits: it has its best bound in epochs 0 to 5 and 8 of 0 to 11."""
    options = ["learning_rate=0.1", "patience=100", "validate_every=1", "max_epochs=12"]
    config = small_config("realnvp", "digits-17", *[f"--trainer.{option}" for option in options])
    return Job(config, "m", "s", str(folder), "disabled")


def epochs_on_disk(folder):
    return tuple(read_checkpoint(folder / name)["epoch"] for name in (BEST, LAST))


def test_a_training_that_is_killed_at_odd_moments_comes_to_the_same_numbers(
    clock, written, tmp_path, monkeypatch
):
    """With the best epoch in memory alone, and between the file of the best and that of the last."""
    whole = run(job_in(tmp_path / "whole"))
    assert written() == [(BEST, 0), (LAST, 0), (BEST, 8), (LAST, 11)]  # that clock stands still
    step, epoch, kill_in = ManySteps.training_step, [0], [0]

    def steps(self, *arguments):
        if self.current_epoch != epoch[0]:
            epoch[0] = self.current_epoch
            clock.now += 9  # seconds of an epoch: every fourth is written
        if self.current_epoch == kill_in[0]:
            raise Killed
        return step(self, *arguments)

    monkeypatch.setattr(ManySteps, "training_step", steps)
    for kill_in[0], files, left in ((4, None, (0, 0)), (8, None, (5, 5)), (-1, 2, (8, 6))):
        written.kill_after(None if files is None else len(written()) + files)
        with pytest.raises(Killed):
            run(job_in(tmp_path / "killed"))
        assert epochs_on_disk(tmp_path / "killed") == left
    written.kill_after(None)
    again = run(job_in(tmp_path / "killed"))
    assert numbers(again) == numbers(whole) and again["best_epoch"] == 9 and not again["notes"]
    assert epochs_on_disk(tmp_path / "killed") == epochs_on_disk(tmp_path / "whole") == (8, 11)
