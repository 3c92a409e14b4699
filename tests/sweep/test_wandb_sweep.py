"""A sweep as W&B's: its points are the plan's runs, and its command does one of them."""

import os
import subprocess
import sys

import pytest
import yaml

from bench.__main__ import main
from bench.record import read_record
from bench.sweep.driver import SweepOptions, make_plan
from bench.sweep.wandb_sweep import wandb_sweep

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


def as_the_agent_does(words, key):
    """Fill in a sweep's command by the functions that W&B's agent uses."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    values = create_sweep_command_args({"args": {"key": {"value": key}}})
    values |= {"interpreter": [sys.executable], "env": ["/usr/bin/env"]}
    filled = []
    for word in create_sweep_command(list(words)):
        filled += values[word[2:-1]] if word.startswith("${") else [word]
    return filled


def test_the_command_of_a_point_does_that_run_under_its_own_id(sweep_file, tmp_path):
    plan = make_plan(str(sweep_file), tmp_path / "r", SweepOptions(only="model=bernoulli_vae"))
    key = sorted(plan.chosen)[0]
    words = as_the_agent_does(wandb_sweep(plan, str(sweep_file), tmp_path / "r")["command"], key)
    # What the agent sets; the parameters are in a file that W&B reads into the run's config.
    parameters = tmp_path / "config.yaml"
    parameters.write_text(yaml.safe_dump({"wandb_version": 1, "key": {"value": key}}))
    environment = os.environ | {"WANDB_MODE": "offline", "WANDB_SWEEP_ID": "sweep123"}
    environment |= {"WANDB_RUN_ID": "agents99", "WANDB_SWEEP_PARAM_PATH": str(parameters)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, cwd=tmp_path)
    # The others are missing, which is no failure of this one.
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (tmp_path / "r").rglob("record.json")
    record = read_record(path)
    assert record["key"] == key and record["status"] == "ok"
    assert record["model"].startswith("bernoulli_vae latent_dimensions=")
    (log,) = path.parent.glob("wandb/offline-run-*/run-*.wandb")
    run = header_of(log)
    assert run["run_id"] == key and run["sweep_id"] == "sweep123"
    assert run["config"]["update"]["key"] == key
    assert run["config"]["update"]["trainer"] == record["config"]["trainer"]


def header_of(log):
    import json

    words = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log)]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    return next(e["run"] for e in map(json.loads, lines) if e["type"] == "run")


def test_runs_are_chosen_by_key(sweep_file, tmp_path, capsys):
    keys = list(make_plan(str(sweep_file), tmp_path, SweepOptions()).jobs)
    chosen = make_plan(str(sweep_file), tmp_path, SweepOptions(only=f"key={keys[1]},{keys[7]}"))
    assert chosen.chosen == {keys[1], keys[7]}
    assert (
        main(["sweep", str(sweep_file), "--results", str(tmp_path / "r"), "--only", "key=0"]) == 2
    )
    assert "no run of" in capsys.readouterr().err and not (tmp_path / "r").exists()
