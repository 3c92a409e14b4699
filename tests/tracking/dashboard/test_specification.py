"""What would be sent to W&B, without network or login."""

import json
import os
import socket
import sys

import pandas as pd
import pytest

from bench.__main__ import main
from bench.errors import InputError
from bench.records.record import write_record
from bench.tracking.dashboard.content import content_of, varied
from bench.tracking.dashboard.specification import in_wandb_markdown, plan_of, report_of
from tests.made_up import record
from tests.tracking.dashboard.conftest import HOSTILE


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)


def blocks_of(plan, kind):
    return [block for block in plan["report"]["spec"]["blocks"] if block["type"] == kind]


def panels_of(plan):
    grids = [block["metadata"] for block in blocks_of(plan, "panel-grid")]
    return [panel for grid in grids for panel in grid["panelBankSectionConfig"]["panels"]]


def test_the_report_has_table_matrix_decomposition_and_images(made):
    folder, pairs = made
    plan = plan_of(content_of(folder), "p", "me")
    by_kind: dict = {}
    for panel in panels_of(plan):
        by_kind.setdefault(panel["viewType"], []).append(panel["config"])
    (matrix,) = by_kind["Parallel Coordinates Plot"]
    axes = [column["accessor"] for column in matrix["columns"]]
    assert axes[:4] == ["summary:task", "summary:model", "summary:seed", "summary:beta"]
    assert "config:model.value.init_args.latent_dimensions" in axes
    assert axes[-1] == "summary:bits_per_dim"
    (bars,) = by_kind["Bar Chart"]
    parts = ("reconstruction", "mutual_information", "marginal_kl")
    assert bars["metrics"] == [f"summary_metrics.{name}" for name in parts]
    images = [name for config in by_kind["Media Browser"] for name in config["mediaKeys"]]
    assert sorted(images) == ["images/data", "images/samples"]
    assert len(by_kind["Weave"]) == 1
    # Every name of a column that the report uses is one of runs.csv, so of a run's summary.
    columns = set(pd.read_csv(folder / "runs.csv").columns)
    named = {name.split(":")[1] for name in axes if name.startswith("summary:")}
    shown = blocks_of(plan, "panel-grid")[-1]["metadata"]["runSets"][0]["runFeed"]["columnOrder"]
    named |= {name.split(":")[1] for name in shown if name.startswith("summary:")}
    assert len(shown) > 10 and named <= columns


def test_runs_are_chosen_by_sweep_kind_and_task(made):
    plan = plan_of(content_of(made[0]), "p", "")
    chosen = []
    for block in blocks_of(plan, "panel-grid"):
        (runset,) = block["metadata"]["runSets"]
        filters = runset["filters"]["filters"]
        chosen.append({f["key"]["name"]: f["value"] for f in filters})
    train = {"group": "small-1.x", "jobType": "train"}
    tasks = [train, train | {"task": "digits-17"}, train | {"task": "digits-17"}]
    assert chosen == [{"group": "small-1.x", "jobType": "report"}, *tasks]


def test_the_leaderboard_shows_its_numbers_and_hostile_names_as_text(made):
    content = content_of(made[0])
    table = blocks_of(plan_of(content, "p", ""), "markdown-block")[1]["content"]
    lines = [line for line in table.splitlines() if line.startswith("| ") and "model" not in line]
    assert len(lines) == 3 and all(f"| {b:.3f}" in table for b in content.board["bits_per_dim"])
    assert "\\<img src=x" in table and "<img" not in table.replace("\\<", "")
    assert in_wandb_markdown(HOSTILE).replace("\\", "") == HOSTILE
    # Each row has as many cells as the head, whatever its name holds.
    cells = {line.replace("\\|", "").count("|") for line in lines}
    assert cells == {table.splitlines()[2].count("|")}


def test_a_dry_run_prints_all_of_it_and_changes_nothing(made, capsys, monkeypatch):
    folder, pairs = made
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    before = sorted(folder.rglob("*"))
    words = ["dashboard", folder.name, "--results", str(folder.parent), "--dry-run"]
    assert main(words) == 0
    plan = json.loads(capsys.readouterr().out)
    keys = [job.key for job, _ in pairs]
    assert list(plan["logs"]) == keys and plan["online"] == []
    for key, (log,) in plan["logs"].items():
        assert log.endswith(key) and log.startswith(str(folder / "runs" / key))
    assert plan["report"]["project"]["name"] == "mine"
    leaderboard = plan["artifacts"].pop("small-1.x-leaderboard")
    assert set(plan["artifacts"]) == {f"record-{key}" for key in keys} | {f"model-{keys[0]}"}
    assert all(a["run"] in keys for a in plan["artifacts"].values())
    assert set(leaderboard["uses"]) == set(plan["artifacts"])
    assert [name.rpartition("/")[2] for name in leaderboard["files"]] == [
        "leaderboard.csv",
        "runs.csv",
    ]
    assert sorted(folder.rglob("*")) == before


def test_the_specification_is_the_same_each_time_but_for_the_names_of_panels(made):
    content = content_of(made[0])
    one, other = (strip(report_of(content, "p")._to_model().model_dump()) for _ in range(2))
    assert one == other


def strip(part):
    if isinstance(part, dict):
        return {name: strip(value) for name, value in part.items() if name != "id"}
    return [strip(value) for value in part] if isinstance(part, list) else part


def test_axes_are_what_differs_within_a_task_and_model():
    def config(width, seed, beta=1.0):
        return {"model": {"init_args": {"width": width}}, "seed": seed, "trainer": {"beta": beta}}

    runs = [("t", "a", config(1, 1)), ("t", "a", config(1, 2, 3.0)), ("t", "b", config(2, 1))]
    assert varied(runs) == []
    assert varied([*runs, ("t", "b", config([2, 2], 2))]) == ["model.init_args.width"]


def one_line(capsys, words, *parts):
    assert main(["dashboard", *words]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("bench: error: ") and "\n" not in said
    assert all(part in said for part in parts), said


def test_without_login_nothing_is_sent_and_one_line_says_so(made, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    folder = made[0]
    before = sorted(folder.rglob("*"))
    one_line(capsys, [folder.name, "--results", str(folder.parent)], "not logged in", "wandb login")
    assert sorted(folder.rglob("*")) == before


def test_without_the_extra_one_line_says_which(made, capsys, monkeypatch):
    for name in ("wandb_workspaces", "wandb_workspaces.reports", "wandb_workspaces.reports.v2"):
        monkeypatch.setitem(sys.modules, name, None)
    folder = made[0]
    for more in ([], ["--dry-run"]):
        words = [folder.name, "--results", str(folder.parent), *more]
        one_line(capsys, words, "pip install 'likelihood-bench[dashboard]'")


def test_folders_that_hold_nothing_to_send_are_refused(made, capsys, tmp_path):
    for name in ("absent", "a b", "it's", "x" * 51, ".."):
        one_line(capsys, [name, "--results", str(tmp_path), "--dry-run"], name[:50])
    bare = tmp_path / "bare"
    row = record("gaussian_vae", 1, 2.0)
    write_record(bare / "runs", row)
    (bare / "manifest.json").write_text(json.dumps({"sweep": "bare", "keys": [row["key"]]}))
    one_line(capsys, ["bare", "--results", str(tmp_path)], "bench report bare")
    for name in ("runs.csv", "leaderboard.csv"):
        (bare / name).write_text((made[0] / name).read_text())
    one_line(capsys, ["bare", "--results", str(tmp_path)], "has a W&B log")


def test_names_that_look_like_numbers_or_nothing_stay_names(made, tmp_path):
    import shutil

    folder = tmp_path / made[0].name
    shutil.copytree(made[0], folder, symlinks=True)
    named = pd.read_csv(folder / "leaderboard.csv", float_precision="round_trip")
    for names in (["5", "7", "12"], ["None", "nan", "NA"]):
        named.assign(model=names).to_csv(folder / "leaderboard.csv", index=False)
        table = blocks_of(plan_of(content_of(folder), "p", ""), "markdown-block")[1]["content"]
        assert all(f"| {name} |" in table for name in names)


def test_a_log_of_a_run_without_a_record_stays(made, tmp_path):
    import shutil

    folder = tmp_path / made[0].name
    shutil.copytree(made[0], folder, symlinks=True)
    key = made[1][0][0].key
    (folder / "runs" / key / "record.json").unlink()
    content = content_of(folder)
    assert key not in content.logs and len(content.logs) == 2
    assert not any(key in name for name in content.files)
    other = folder / "runs" / made[1][1][0].key / "record.json"
    other.write_text(other.read_text().replace("digits-17", "digits-18"))
    with pytest.raises(InputError, match="altered"):
        content_of(folder)
    # What is not a record is not a missing one.
    other.unlink()
    os.mkfifo(other)
    with pytest.raises(InputError, match="is damaged"):
        content_of(folder)
