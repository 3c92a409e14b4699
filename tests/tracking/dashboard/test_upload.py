"""`bench dashboard` against a stand-in for W&B's server: what arrives there, once and again."""

import json
import os
import shutil
import time

import pandas as pd
import pytest

from bench.tracking.wandb_settings import logged_in, resolve_wandb_mode
from tests.conftest import patience
from tests.tracking.dashboard.conftest import log_offline
from tests.wandb_stand_in import serving


@pytest.fixture
def folder(made, tmp_path):
    """A copy, because W&B marks the logs that it has sent."""
    shutil.copytree(made[0], tmp_path / made[0].name, symlinks=True)
    return tmp_path / made[0].name


@pytest.fixture
def dashboard(warm):
    """Sends a folder in a process of its own, as W&B keeps its settings for a process' whole life."""
    return lambda folder, url: sent(warm, folder, url)


def sent(warm, folder, url):
    environment = os.environ | {"WANDB_BASE_URL": url, "WANDB_API_KEY": "a" * 40}
    # Training may be offline; what is asked for here is not. Nor is it an agent's run.
    environment |= {"WANDB_MODE": "offline", "WANDB_RUN_ID": "other", "WANDB_SWEEP_ID": "abc"}
    words = ["-m", "bench", "dashboard", folder.name, "--results", folder.parent]
    return warm.run(*words, env=environment, cwd=folder.parent, timeout=patience(120))


def test_a_sweep_arrives_with_its_lineage_and_a_second_call_adds_nothing(dashboard, folder, made):
    keys = [job.key for job, _ in made[1]]
    with serving() as store:
        for call in (1, 2):
            done = dashboard(folder, store.url)
            assert done.returncode == 0, done.stdout + done.stderr
            assert not store.unknown
            # One W&B run for each key, and one for the leaderboard.
            assert set(store.runs) == {*keys, "report-small-1.x"}
            assert all(store.runs[key]["groupName"] == "small-1.x" for key in store.runs)
            kinds = [store.runs[key]["jobType"] for key in store.runs]
            assert kinds == ["train"] * 3 + ["report"]
            assert [len(store.history[key]) for key in keys] == [3, 3, 3]
            made_by = {n: (v[0]["type"], v[0]["run"]) for n, v in store.artifacts.items()}
            table = [name for name in made_by if name.startswith("run-report-small")]
            assert len(table) == 1 and made_by.pop(table[0])[0] == "run_table"
            expected = {f"record-{key}": ("record", key) for key in keys}
            expected[f"model-{keys[0]}"] = ("model", keys[0])
            expected["small-1.x-leaderboard"] = ("leaderboard", "report-small-1.x")
            assert made_by == expected
            assert all(len(versions) == 1 for versions in store.artifacts.values())
            used = {a.partition(":")[0] for run, a in store.uses if run == "report-small-1.x"}
            assert used == set(expected) - {"small-1.x-leaderboard"}
            (report,) = store.reports.values()
            assert (
                store.url in done.stdout and report["displayName"] == "Likelihood Bench small-1.x"
            )
            assert f"{3 if call == 1 else 0} sent" in done.stdout.splitlines()[0]
        specification = json.loads(report["spec"])
        grids = [b["metadata"] for b in specification["blocks"] if b["type"] == "panel-grid"]
        projects = [runset["project"]["id"] for grid in grids for runset in grid["runSets"]]
        assert projects == ["internal"] * 4
        check_summaries(store, folder)
        check_table(store, folder)
        for name in ("runs.csv", "leaderboard.csv"):
            assert (folder / name).read_bytes() in store.files
        assert b"weights" in store.files
        # Nothing but W&B's marks is left behind.
        assert sorted(p.name for p in folder.parent.iterdir()) == [folder.name]


def check_summaries(store, folder):
    """Every number that W&B is sent of a run is that of runs.csv, to the last digit."""
    runs = pd.read_csv(folder / "runs.csv", float_precision="round_trip")
    for _, row in runs.iterrows():
        summary = store.summaries[row["key"]]
        prefix = "" if row["split"] == "test" else "train/"
        there = row[row.notna()]
        assert len(there) > 20
        for column, value in there.items():
            assert summary[prefix + column] == value, column
        for column in row.index.difference(there.index):
            assert prefix + column not in summary


def check_table(store, folder):
    """The table in W&B has every digit of leaderboard.csv."""
    board = pd.read_csv(folder / "leaderboard.csv", float_precision="round_trip")
    tables = [json.loads(file) for file in store.files if file.startswith(b'{"columns"')]
    assert tables and tables[0]["columns"] == list(board.columns)
    for row, (_, there) in zip(tables[0]["data"], board.iterrows(), strict=True):
        for value, expected in zip(row, there, strict=True):
            assert value == expected or (value is None and pd.isna(expected))


@pytest.mark.long
def test_a_run_that_was_resumed_or_done_again_is_one_run(dashboard, warm, folder, made):
    job, record = made[1][0]
    directory = folder / "runs" / job.key
    with serving() as store:
        assert dashboard(folder, store.url).returncode == 0
        time.sleep(1.1)  # the name of a log holds the second of its start
        log_offline(warm, [(job.__class__(**vars(job) | {"directory": str(directory)}), record)])
        assert len(list(directory.glob("wandb/offline-run-*"))) == 2
        changed = folder / "leaderboard.csv"
        changed.write_text(changed.read_text().replace("gaussian_vae,", "gaussian,"))
        done = dashboard(folder, store.url)
        assert done.returncode == 0 and "logs: 1 sent, 3 there" in done.stdout, done.stderr
        assert len(store.runs) == 4 and len(store.reports) == 1
        assert len(store.history[job.key]) == 6
        # A changed table is a second version of the one artifact.
        assert len(store.artifacts["small-1.x-leaderboard"]) == 2
        check_summaries(store, folder)


def test_a_server_that_refuses_is_told_in_one_line(dashboard, folder):
    with serving() as store:
        store.refuse = "UpsertBucket"
        done = dashboard(folder, store.url)
    assert done.returncode == 2 and not store.artifacts
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("bench: error: W&B: ") and "Traceback" not in done.stdout


@pytest.mark.long
def test_a_run_that_is_elsewhere_is_not_made_anew(dashboard, folder, made):
    """Logs were sent to another project: files have no run to belong to."""
    with serving() as store:
        assert dashboard(folder, store.url).returncode == 0
    with serving() as store:
        done = dashboard(folder, store.url)
    assert done.returncode == 2 and not store.runs
    (line,) = done.stderr.strip().splitlines()
    assert "does not exist" in line and made[1][0][0].key in line


@pytest.mark.parametrize("host", ["api.wandb.ai", "api.forge.coreweave.com"])
def test_who_is_logged_in_trains_online(host, tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(path))
    assert not logged_in() and resolve_wandb_mode("auto") == "offline"
    path.write_text(f"machine {host}\n  login user\n  password {'a' * 40}\n")
    path.chmod(0o600)
    assert logged_in() and resolve_wandb_mode("auto") == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not logged_in()
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    assert logged_in()
