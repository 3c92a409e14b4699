"""The level *retrained*: a recipe is run again, and what it gives is compared with what is claimed."""

import sys

import pandas as pd
import pytest

from bench.__main__ import main
from bench.submissions.inside import record_of
from bench.submissions.sealed import Guarantees
from tests.submissions.conftest import BIBTEX

MODEL = """
from math import prod

import torch
from torch import nn

from bench import Task, load_task


class Tiny(nn.Module):
    likelihood = "Bernoulli"

    def __init__(self, shape):
        super().__init__()
        self.encode_both, self.decode = nn.Linear(prod(shape), 4), nn.Linear(2, prod(shape))

    def encode(self, x):
        return self.encode_both(x).chunk(2, -1)


def train(seed, path, steps=STEPS):
    torch.manual_seed(seed)
    data = load_task(Task("digits", "threshold"))
    model, x = Tiny(data.shape), data.train.float()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        y = x[torch.randint(len(x), (50,))]
        mean, log_variance = model.encode(y)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        error = nn.functional.binary_cross_entropy_with_logits(model.decode(z), y, reduction="sum")
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
        optimizer.zero_grad()
        ((error + kl) / len(y)).backward()
        optimizer.step()
    torch.save(model.state_dict(), path)
"""


@pytest.fixture
def submission(tmp_path, monkeypatch):
    """Return a function that trains, scores and submits; the recipe may have another number of steps."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.bib").write_text(BIBTEX)

    def make(steps=40, claimed=40):
        source = tmp_path / "tiny.py"
        source.write_text(MODEL.replace("STEPS", str(steps)))
        scope = {}
        exec(source.read_text(), scope)
        scope["train"](1, "seed-1.pt", claimed)
        words = ["score", "tiny.py:Tiny", "--checkpoint", "seed-1.pt", "--data", "digits-binary"]
        assert main([*words, "--evaluation", "smoke", "--out", "scored", "--name", "Tiny"]) == 0
        words = ["submit", "scored", "--out", "mine", "--name", "Tiny", "--licence", "MIT"]
        words += ["--bibtex", "tiny.bib", "--source", "tiny.py", "--recipe", "tiny.py:train"]
        assert main([*words, "--budget", f"{claimed} steps"]) == 0
        return tmp_path / "mine"

    return make


@pytest.fixture
def in_this_process(tmp_path, monkeypatch):
    """Let the work of the closed process be done here, which takes a tenth of the time."""
    own = tmp_path / "own"
    own.mkdir()

    def done(works, folder, must_be_closed):
        more = {"writable": [str(own)], "probe": str(own)}
        return [record_of(work | more) for work in works], Guarantees(*[False] * 5)

    monkeypatch.setattr("bench.submissions.again.done_closed", done)
    yield own
    sys.modules.pop("tiny", None)


def add(folder, *more):
    return main(["leaderboard", "add", str(folder), "--board", "board", "--retrain", *more])


def row():
    (one,) = pd.read_csv("board/leaderboard-v1.csv").to_dict("records")
    return one


def test_a_recipe_that_gives_the_claimed_numbers_makes_a_row_retrained(
    submission, in_this_process, tmp_path
):
    folder = submission()
    assert not (folder / "weights").exists()  # they are made here
    assert add(folder) == 0
    assert row()["verification"] == "retrained"
    # The key holds the hash of the weights: they were made again bit by bit.
    (claimed,) = (tmp_path / "scored" / "runs").iterdir()
    (made,) = (tmp_path / "board").glob("submissions/*/retrained/runs/*")
    assert made.name == claimed.name and (in_this_process / "weights.pt").is_file()


def test_a_recipe_that_gives_other_numbers_is_refused_and_nothing_is_written(
    submission, in_this_process, capsys, tmp_path
):
    folder = submission(steps=1)
    capsys.readouterr()
    assert add(folder) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "seed 1: retrained here, " in line and "is claimed" in line
    assert not (tmp_path / "board").exists()


@pytest.mark.long
def test_a_recipe_is_run_in_a_process_of_its_own(submission, capsys):
    folder = submission()
    assert add(folder, "--without_isolation", "true") == 0
    printed = capsys.readouterr().out
    assert "this runs code of the submission" in printed and "isolation: prevented" in printed
    assert row()["verification"] == "retrained"
