"""A sweep as W&B's: its points are the plan's runs, and its command does one of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bench.__main__ import main
from bench.records.record import read_record
from bench.sweep.driver import SweepOptions, make_plan
from bench.sweep.wandb_sweep import wandb_sweep
from tests.conftest import patience
from tests.wandb_stand_in import serving

SWEEP = {
    "matrix": {"data": ["digits-17", "digits-binary"], "model": ["gaussian_vae", "bernoulli_vae"]},
    "zip": [{"seed": [1, 2], "model.latent_dimensions": [3, 4]}],
    "exclude": [{"data": "digits-17", "model": "bernoulli_vae"}],
    "overrides": [
        {
            "when": {"model": ["gaussian_vae", "bernoulli_vae"]},
            "set": {
                "trainer.max_epochs": 2,
                "model.encoder.widths": [16],
                "model.decoder_network.widths": [16],
                "evaluation.importance_samples": 12,
            },
        }
    ],
}
# 2 references for each task, and 3 of the 4 combinations at 2 linked points.
RUNS = 2 * 2 + 3 * 2


@pytest.fixture
def sweep_file(tmp_path):
    # Words that a shell or YAML would take apart.
    path = tmp_path / "it's a: #sweep.yaml"
    path.write_text(yaml.safe_dump(SWEEP))
    return path


@pytest.mark.parametrize("only, count", [("", RUNS), ("model=bernoulli_vae seed=1", 1)])
def test_a_grid_has_a_point_for_each_run_of_the_plan(sweep_file, tmp_path, capsys, only, count):
    words = ["sweep", str(sweep_file), "--results", str(tmp_path / "r"), "--wandb-sweep"]
    assert main([*words, *(["--only", only] if only else [])]) == 0
    path = tmp_path / "r" / sweep_file.stem / "wandb-sweep.yaml"
    assert str(path) in capsys.readouterr().out
    plan = make_plan(str(sweep_file), tmp_path / "r", SweepOptions(only=only))
    found = yaml.safe_load(path.read_text())
    assert found == wandb_sweep(plan, str(sweep_file), tmp_path / "r")
    ((name, axis),) = found["parameters"].items()
    assert name == "key" and len(set(axis["values"])) == len(axis["values"]) == count
    assert set(axis["values"]) == plan.chosen
    assert list((tmp_path / "r").rglob("*.*")) == [path]


@pytest.mark.long
def test_an_agent_does_a_point_and_it_is_one_run_under_its_key(sweep_file, tmp_path):
    """W&B's own agent, given one point of the grid by a stand-in for the server."""
    plan = make_plan(str(sweep_file), tmp_path / "r", SweepOptions(only="model=bernoulli_vae"))
    key = sorted(plan.chosen)[0]
    words = [sys.executable, "-m", "wandb", "agent", "--count", "1"]
    with serving() as store:
        store.sweep = yaml.safe_dump(wandb_sweep(plan, str(sweep_file), tmp_path / "r"))
        store.points = [{"key": key}]
        environment = os.environ | {"WANDB_BASE_URL": store.url, "WANDB_API_KEY": "a" * 40}
        del environment["WANDB_MODE"]
        # The agent calls the python that it finds.
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        done = subprocess.run(
            [*words, "me/likelihood-bench/sweep123"],
            env=environment,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=patience(120),
        )
        assert not store.unknown, done.stdout + done.stderr
        assert list(store.runs) == [key], done.stdout + done.stderr
        assert store.runs[key]["sweep"] == "sweep123"
        assert store.runs[key]["groupName"] == sweep_file.stem
    (path,) = (tmp_path / "r").rglob("record.json")
    record = read_record(path)
    assert record["key"] == key and record["status"] == "ok"
    assert record["model"].startswith("bernoulli_vae latent_dimensions=")
    test = record["metrics"]["test"]
    assert store.summaries[key]["bits_per_dim"] == test["bits_per_dim"]["value"]
    assert json.loads(store.runs[key]["config"])["key"]["value"] == key


def test_the_others_missing_is_no_failure_of_the_chosen(without_engine, sweep_file, tmp_path):
    """Or W&B's agent would give up after a few points."""
    results = ["--results", str(tmp_path / "r"), "--wandb", "disabled"]
    words = ["sweep", str(sweep_file), *results, "--only", "task=digits-17 model=uniform"]
    assert main(words) == 0
    assert main(["report", sweep_file.stem, *results[:2]]) == 1


def test_runs_are_chosen_by_key(sweep_file, tmp_path, capsys):
    keys = list(make_plan(str(sweep_file), tmp_path, SweepOptions()).jobs)
    chosen = make_plan(str(sweep_file), tmp_path, SweepOptions(only=f"key={keys[1]},{keys[7]}"))
    assert chosen.chosen == {keys[1], keys[7]}
    assert (
        main(["sweep", str(sweep_file), "--results", str(tmp_path / "r"), "--only", "key=0"]) == 2
    )
    assert "no run of" in capsys.readouterr().err and not (tmp_path / "r").exists()
