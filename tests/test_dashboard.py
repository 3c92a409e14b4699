"""What would be sent to W&B, without a server."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import wandb
import yaml

from bench.__main__ import main
from bench.dashboard.specification import blocks_of, specification
from bench.dashboard.upload import artifact_of, log_artifacts, plan_upload, sync
from bench.errors import InputError
from bench.record import write_record
from bench.report.columns import runs_columns
from bench.report.reduce import leaderboard_table, write_manifest
from bench.report.report import report
from tests.made_up import record

RECORDS = [record("a", 1, 2.0), record("a", 2, 2.2), record("<b>'\"", 1, 1.0)]


@pytest.fixture
def sweep(tmp_path):
    directory = tmp_path / "made-up"
    for made in RECORDS:
        write_record(directory / "runs", made)
    write_manifest(directory, [made["key"] for made in RECORDS])
    report(directory)
    (directory / "runs" / RECORDS[0]["key"] / "best.ckpt").write_bytes(b"weights")
    return directory


def test_the_report_speaks_of_columns_and_of_its_own_runs_alone():
    content = specification("made-up", leaderboard_table(RECORDS, "made-up"))
    assert content == json.loads(json.dumps(content)) and content["group"] == "made-up"
    names = {column.name for column in runs_columns()}
    assert set(content["columns"]) <= names
    for panel in content["tasks"][0]["panels"]:
        shown = [axis[0] for axis in panel.get("axes", [])]
        shown += panel["columns"] if panel["kind"] == "bars" else []
        assert set(shown) <= names
    models = [
        block._to_model().model_dump(mode="json", by_alias=True) for block in blocks_of(content)
    ]
    [grid] = [m for m in models if m["type"] == "panel-grid"]
    [runs] = grid["metadata"]["runSets"]
    filters = [(f["key"]["name"], f["op"], f["value"]) for f in runs["filters"]["filters"]]
    assert filters == [("group", "=", "made-up"), ("tags", "IN", ["digits-17"])]
    assert len(grid["metadata"]["panelBankSectionConfig"]["panels"]) == 4
    text = next(m["content"] for m in models if m["type"] == "markdown-block")
    assert "2.100" in text


def test_a_dry_run_says_all_and_sends_nothing(sweep, capsys, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    assert main(["dashboard", "made-up", "--results", str(sweep.parent), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert f"artifact run-{RECORDS[0]['key']}: record.json, best.ckpt" in printed
    assert "artifact made-up-leaderboard: leaderboard.csv, runs.csv, datapackage.json" in printed
    assert "0 offline runs to send; nothing was sent" in printed


def test_without_a_login_there_is_one_line(sweep, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert main(["dashboard", "made-up", "--results", str(sweep.parent)]) == 2
    assert "not logged in" in capsys.readouterr().err
    assert main(["dashboard", "none", "--results", str(sweep.parent)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_every_artifact_leads_to_the_leaderboard(sweep, monkeypatch):
    """A stand-in for W&B's module notes what is called, in order."""
    said = []

    class Run:
        def __init__(self, **options):
            self.id = options["id"]
            said.append(("init", options["id"], options["group"], options["resume"]))

        __enter__ = lambda self: self
        __exit__ = lambda self, *_: None
        log_artifact = lambda self, a: said.append(
            ("log", self.id, a.name, sorted(a.manifest.entries))
        )
        use_artifact = lambda self, name: said.append(("use", self.id, name))
        log = lambda self, values: said.append(("table", self.id, *values))

    stand_in = SimpleNamespace(
        init=Run, Artifact=wandb.Artifact, Settings=wandb.Settings, Table=wandb.Table
    )
    upload = plan_upload(sweep)
    log_artifacts(stand_in, upload, "me", "project")
    keys = [made["key"] for made in RECORDS]
    assert [entry[1:] for entry in said if entry[0] == "init"] == [
        *[(key, "made-up", "allow") for key in keys],
        ("made-up-report", "made-up", "allow"),
    ]
    assert ("log", keys[0], f"run-{keys[0]}", ["best.ckpt", "record.json"]) in said
    after = said[said.index(("init", "made-up-report", "made-up", "allow")) + 1 :]
    assert after[:3] == [("use", "made-up-report", f"me/project/run-{key}:latest") for key in keys]
    assert after[3][2:] == (
        "made-up-leaderboard",
        ["datapackage.json", "leaderboard.csv", "runs.csv"],
    )
    # The same files make the same content, of which W&B keeps one version.
    digests = [
        [artifact_of(wandb, "run", "model", paths).digest for paths in plan.files.values()]
        for plan in (upload, plan_upload(sweep))
    ]
    assert digests[0] == digests[1]


def test_offline_runs_are_sent_by_wandb_itself(tmp_path, monkeypatch):
    calls = []
    answer = SimpleNamespace(returncode=0, stdout="", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda words, **_: calls.append(words) or answer)
    folder = tmp_path / "wandb" / "offline-run-1-abc"
    sync([folder], "me", "project")
    assert calls[0][:4] == [sys.executable, "-m", "wandb", "sync"] and calls[0][-1] == str(folder)
    assert "--id" not in calls[0]
    sync([], "me", "project")
    assert len(calls) == 1
    answer.returncode, answer.stderr = 1, "no\nnetwork"
    with pytest.raises(InputError, match="no network"):
        sync([folder], "me", "project")


def test_a_wandb_sweep_has_a_point_for_each_run_and_its_command_works(tmp_path, capsys):
    matrix = {
        "matrix": {"data": ["digits-binary"], "model": ["bernoulli_vae"], "seed": [1, 2]},
        "trainer": "digits",
        "evaluation": "digits",
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(matrix))
    call = ["sweep", str(tmp_path / "tiny.yaml"), "--results", str(tmp_path)]
    assert main([*call, "--wandb-sweep"]) == 0
    file = yaml.safe_load((tmp_path / "tiny" / "wandb-sweep.yaml").read_text())
    keys = file["parameters"]["key"]["values"]
    assert len(keys) == len(set(keys)) == 4 and file["method"] == "grid"
    # As the agent fills it in; the run is a reference, which takes no training.
    filled = [
        f"key={keys[0]}" if word == "${args_no_hyphens}" else word for word in file["command"]
    ]
    assert filled[:2] == ["${env}", "${interpreter}"]
    words = [sys.executable, *filled[2:], "--wandb=disabled", "--workers=1"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert "3 runs have no record" in done.stdout, done.stdout + done.stderr
    assert [path.parent.name for path in tmp_path.rglob("record.json")] == [keys[0]]
    assert main([*call, "--only", "key=0000"]) == 2
