"""`--workers 0`: one job after another in this process. tests/test_front_door.py sweeps so."""

import json
import os
import sys

import pytest
import torch

from bench.__main__ import main
from bench.errors import InputError
from bench.records.manifest import read_recipes
from bench.sweep.inline import InlineEngine
from bench.sweep.resources import Request
from tests.engine_work import Named, trouble

CUDA = "CUDA error: device-side assert triggered\nCUDA kernel errors might be …"


def do(keys, request, work, show=lambda board: None):
    engine = InlineEngine(show)
    jobs = [Named(key) for key in keys]
    return {f.key: f for f in engine.map(jobs, {key: request for key in keys}, work)}


def test_progress_is_shown_while_a_job_is_done_and_trouble_of_one_is_its_own():
    shown = []

    def work(job, assigned):
        assigned.progress_of(job.key)("train", 0.5, job.key)
        return os.getpid()

    found = do("ab", Request(1), work, lambda board: shown.append(dict(board)))
    assert {f.record for f in found.values()} == {os.getpid()}
    assert shown[0] == {"a": ("train", 0.5, "a")} and shown[1]["b"] == ("train", 0.5, "b")
    found = do(["input", "bug"], Request(1), trouble)
    assert found["input"].reason == "the disk is full"
    assert found["bug"].reason == "RuntimeError: a bug"


def test_jobs_get_the_first_visible_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    where = lambda job, assigned: assigned.gpus
    assert InlineEngine(lambda board: None).has_gpus
    for gpus, names in ((0, ()), (0.25, ("3",)), (1, ("3",)), (2, ("3", "5"))):
        reserved = do("a", Request(1, gpus), where)["a"].record
        assert reserved.names == names and reserved.share == 1.0
    with pytest.raises(InputError, match="and 3 GPUs, and no machine has them"):
        do("a", Request(1, 3), where)


@pytest.fixture
def words(tmp_path):
    """A sweep, of which the two runs without training."""
    path = tmp_path / "s.yaml"
    matrix = {"data": ["digits-17"], "model": ["gaussian_vae"], "seed": [1]}
    path.write_text(json.dumps({"matrix": matrix}))
    only = "--only=model=uniform,independent_pixels"
    return ["sweep", str(path), f"--results={tmp_path}", "--wandb=disabled", "--workers=0", only]


@pytest.mark.parametrize(
    "error, code, message",
    [
        (KeyboardInterrupt(), 130, "stopped; the same command resumes where this one ended"),
        (
            RuntimeError(CUDA),
            2,
            "device: CUDA error: device-side assert triggered: this is trouble",
        ),
    ],
)
def test_a_sweep_that_is_stopped_or_breaks_the_gpu_resumes(
    error, code, message, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("bench.report.plots.figures_of", lambda records: {})
    monkeypatch.setattr("bench.report.page.write.page_of", lambda *_: "")
    from bench.runs.run import run

    calls = []

    def once(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise error
        return run(*arguments)

    monkeypatch.setattr("bench.runs.run.run", once)
    # As on a machine without Ray.
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(words) == code
    printed = "".join(capsys.readouterr())
    assert message in printed and "Traceback" not in printed and "resumes" in printed
    assert len(list(tmp_path.rglob("record.json"))) == 1
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "no workers: one run after another" in said
    assert "1 of 3 runs are missing; how long they take is not known.\n" in said
    trained = list(read_recipes(tmp_path / "s").values())[2]
    assert (trained["task"], trained["model"]) == ("digits-17", "gaussian_vae")
    assert (trained["max_epochs"], trained["importance_samples"]) == (100, 100)
    assert len(list(tmp_path.rglob("record.json"))) == len(calls) - 1
