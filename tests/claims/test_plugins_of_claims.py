"""`bench claims --plugin`: experiments on parts of the user's own, in any process that measures them."""

import json
from pathlib import Path

import pytest
import yaml

from bench.__main__ import main
from bench.claims.driver import execute
from bench.claims.experiments import read_experiments
from bench.configuration.load_plugin import load_plugin
from bench.records.record import write_record
from bench.sweep.jobs import Assigned
from bench.system.devices import Reserved
from tests.own_parts import WIDE

EXPERIMENTS = {
    "images": 10,
    "closed_form": {"data": [], "seed": []},
    "experiments": {
        "wide": {
            "claims": [2, 10],
            "matrix": {"data": ["digits-binary"], "model": ["bernoulli_vae"], "seed": [1]},
            "trainer": "digits-short",
            "evaluation": "smoke",
            "overrides": [
                {
                    "when": {"model": "bernoulli_vae"},
                    "set": {
                        "model.prior": "Wide",
                        "model.encoder.widths": [16],
                        "model.decoder_network.widths": [16],
                        "trainer.max_epochs": 1,
                        "trainer.validate_every": 1,
                    },
                }
            ],
        }
    },
}


@pytest.fixture(autouse=True)
def loaded(monkeypatch, tmp_path):
    """Each test begins as a process that has loaded no plugin, in a folder of its own."""
    monkeypatch.setattr("bench.configuration.plugins.LOADED", (loaded := {}))
    monkeypatch.setattr("bench.configuration.load_plugin.LOADED", loaded)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_parts.py").write_text(WIDE)
    (tmp_path / "wide.yaml").write_text(yaml.safe_dump(EXPERIMENTS))
    return loaded


def test_the_command_takes_a_plugin_and_without_it_the_part_is_unknown(monkeypatch, capsys):
    written = []
    monkeypatch.setattr("bench.claims.outcome.write_outcome", lambda *parts: written.append(parts))
    monkeypatch.setattr("bench.claims.outcome.print_verdicts", lambda table: None)
    words = ["claims", "wide.yaml", "--results", "results", "--workers", "0"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "Wide" in error and error.count("\n") == 1
    assert main([*words, "--plugin", "my_parts.py"]) == 0
    ((_, (item,), records, measurements),) = written
    (plugin,) = records[item.key]["config"]["plugins"]
    assert plugin["name"] == "my_parts.py"
    assert {row["claim"] for row in measurements[item.key]["rows"]} == {2}


def test_a_worker_measures_a_run_that_another_one_has_trained(loaded):
    """It has the plugin from the job alone, whether it trains the run or finds it trained."""
    load_plugin("my_parts.py")
    (item,), _ = read_experiments("wide.yaml", Path("results"))
    rows = []
    for _ in range(2):
        loaded.clear()
        outcome = execute(item, Assigned(Reserved(), lambda *_: None))
        assert outcome["record"]["status"] == "ok" and loaded
        outcome["record"].pop("notes", None)
        write_record(Path(item.job.directory).parent, outcome["record"])
        rows.append(json.dumps(outcome["measurement"]["rows"]))
    assert rows[0] == rows[1]
