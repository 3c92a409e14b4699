"""What the environment, a run's name or a server's trouble may do without costing a run its log."""

import json
import os
import shlex
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest
import wandb

import bench.tracking.logger
import bench.tracking.wandb_settings
from bench.__main__ import main
from bench.configuration.job import Job
from bench.errors import InputError
from bench.sweep import driver
from bench.sweep.wandb_sweep import wandb_sweep
from bench.tracking.logger import LONGEST_TAG, offline_log, tracked
from bench.tracking.wandb_settings import project, reachable_mode, resolve_wandb_mode
from tests.conftest import SMALL_VAE, patience, small_config
from tests.limits import limited
from tests.offline_logs import read_offline_run
from tests.wandb_stand_in import serving

POINTS = [{"step": 9 * epoch, "epoch": epoch, "train_elbo": -1.0 / epoch} for epoch in (1, 2, 3)]


def job_in(folder, mode="offline", model="gaussian_vae"):
    return Job(small_config("gaussian_vae"), model, "s", str(folder), mode)


def logged(job, said, points=POINTS):
    """Log points as a run would, and give the folders of its logs."""
    with tracked(job, "digits-17", True, said.append) as tracker:
        for point in points:
            tracker.log(point)
    return sorted(path for path in (Path(job.directory) / "wandb").glob("*run-*-*"))


def steps_in(log):
    """Return the steps in a log, which W&B's own process may write a moment after the run's end."""
    (path,) = log.glob("run-*.wandb")
    end = time.monotonic() + patience(5)
    while not (rows := read_offline_run(path)[1]) and time.monotonic() < end:
        time.sleep(0.1)
    return [row["trainer/global_step"] for row in rows]


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """W&B as a process finds it that has not used it yet, and leaves it so; nobody is logged in."""
    wandb.teardown()
    os.environ.pop("WANDB_SERVICE", None)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    bench.tracking.wandb_settings.SILENT.clear()
    yield monkeypatch
    wandb.teardown()
    bench.tracking.wandb_settings.SILENT.clear()


def server_at(monkeypatch, address):
    monkeypatch.setenv("WANDB_BASE_URL", address)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)


def closed_port():
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.mark.parametrize("model", ["m" * 200, "a | <b> `c` \"d\" 'e' = é", " "])
def test_a_run_of_any_name_is_tracked_under_its_key(tmp_path, model):
    job = job_in(tmp_path, model=model)
    said = []
    with tracked(job, "digits-17", True, said.append) as tracker:
        assert tracker.run is not None, said
        assert tracker.run.id == job.key and tracker.run.group == "s"
        assert set(tracker.run.tags) == {"digits-17", model[:LONGEST_TAG]}
    assert not said
    assert len(list(tmp_path.glob(f"wandb/offline-run-*/run-{job.key}.wandb"))) == 1


def test_another_runs_variables_neither_name_nor_move_nor_resume_a_run(tmp_path, fresh, capfd):
    """An agent's, a launcher's, or what a shell still holds; project and owner are the user's."""
    before = {
        "RUN_ID": "other",
        "RESUME": "must",
        "RESUME_FROM": "other?_step=1",
        "NAME": "other",
        "RUN_GROUP": "other",
        "JOB_TYPE": "other",
        "TAGS": "other",
        "DIR": str(tmp_path / "elsewhere"),
        "SWEEP_ID": "abc",
        "SERVICE": "3-1-unix-/nowhere/socket",
        "LAUNCH": "true",
        "MODE": "disabled",
        "PROJECT": "mine",
        "ENTITY": "ours",
    }
    for name, value in before.items():
        fresh.setenv(f"WANDB_{name}", value)
    job, said = job_in(tmp_path), []
    with tracked(job, "digits-17", True, said.append) as tracker:
        run = tracker.run
        assert (run.id, run.group, run.job_type, run.sweep_id) == (job.key, "s", "train", "abc")
        assert (run.project, run.entity) == ("mine", "ours") and "other" not in run.tags
        assert {name: os.environ[f"WANDB_{name}"] for name in before} == before
    assert not said and not (tmp_path / "elsewhere").exists()
    assert offline_log(job) is not None
    # No warning of an 'anonymous' setting, nor of anything else.
    assert capfd.readouterr() == ("", "")


def test_a_server_that_is_not_there_costs_no_line_of_the_log_and_is_asked_once(tmp_path, fresh):
    address = f"http://127.0.0.1:{closed_port()}"
    server_at(fresh, address)
    said = []
    for place in ("a", "b"):
        job = job_in(tmp_path / place, "online")
        (log,) = logged(job, said)
        assert log.name.startswith("offline-run-") and log == offline_log(job)
        assert steps_in(log) == [9, 18, 27]
    (line,) = said
    assert address in line and "does not answer" in line and "offline" in line


def test_a_server_that_never_answers_is_waited_for_once(fresh):
    fresh.setattr(bench.tracking.wandb_settings, "PATIENCE", 0.2)
    said = []
    with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
        server_at(fresh, f"http://127.0.0.1:{deaf.getsockname()[1]}")
        assert [reachable_mode("online", said.append) for _ in range(3)] == ["offline"] * 3
    assert len(said) == 1 and "timed out" in said[0]
    # Whatever is answered is an answer, and who is not to be asked is not.
    bench.tracking.wandb_settings.SILENT.clear()
    fresh.setattr(bench.tracking.wandb_settings, "PATIENCE", patience(10))
    with serving() as store:
        server_at(fresh, f"{store.url}/")
        assert reachable_mode("online", said.append) == "online"
    assert reachable_mode("offline", said.append) == "offline" and len(said) == 1


def test_a_sweep_asks_for_the_server_once_for_all_of_its_runs(tmp_path, fresh, capsys):
    server_at(fresh, f"http://127.0.0.1:{closed_port()}")
    fresh.setattr(driver, "run_pending", lambda plan, pending, *_: runs.extend(pending))
    file, runs = tmp_path / "two.yaml", []
    matrix = {"data": ["digits-binary"], "model": ["bernoulli_vae"], "seed": [1, 2]}
    file.write_text(json.dumps({"matrix": matrix}))
    options = driver.SweepOptions(wandb_mode=resolve_wandb_mode("auto"))
    fresh.setenv("WANDB_PROJECT", "mine")
    plan = driver.sweep(str(file), tmp_path / "results", options)
    assert wandb_sweep(plan, str(file), tmp_path)["project"] == "mine"
    assert options.wandb_mode == "online" and {job.wandb_mode for job in runs} == {"offline"}
    assert capsys.readouterr().out.count("does not answer") == 1


@pytest.mark.parametrize("trouble", ["refuses", "hangs"])
def test_a_server_that_opens_no_run_costs_no_line_of_the_log(tmp_path, fresh, trouble):
    """It answers, so that the run is tried; what is left of the try must not stand in the way."""
    said = []
    if trouble == "hangs":
        fresh.setattr(bench.tracking.logger, "OPENING", patience(1))
    with serving() as store:
        store.refuse, store.hang = "UpsertBucket", trouble == "hangs"
        server_at(fresh, store.url)
        for place in ("a", "b"):
            (log,) = logged(job_in(tmp_path / place, "online"), said)
            assert log.name.startswith("offline-run-") and steps_in(log) == [9, 18, 27]
    (line,) = said
    assert line.startswith("W&B (online): ") and "in use" not in line


def test_a_server_that_goes_away_is_not_waited_for_and_the_log_is_whole(tmp_path, fresh):
    said, job = [], job_in(tmp_path, "online")
    fresh.setattr(bench.tracking.logger, "CLOSING", patience(1))
    with serving() as store:
        server_at(fresh, store.url)
        with tracked(job, "digits-17", True, said.append) as tracker:
            tracker.log(POINTS[0])
            store.hang = True
            tracker.log(POINTS[1])
    (log,) = (tmp_path / "wandb").glob("run-*")
    assert steps_in(log) == [9, 18]
    (line,) = said
    assert f"`wandb sync {log}`" in line


def test_train_prints_the_command_that_sends_its_offline_log(tmp_path, fresh, capsys):
    """Offline because nobody is logged in; a folder's name may need quotes."""
    words = ["--data", "digits-binary", "--model", "bernoulli_vae", *SMALL_VAE]
    words += ["--trainer.max_epochs=1", "--evaluation.importance_samples=2"]
    words += ["--output", str(tmp_path / "my runs")]
    assert main(["train", *words]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "wandb sync" in line]
    log = Path(shlex.split(line.partition(": ")[2].removeprefix("wandb sync "))[0])
    assert log.is_dir() and steps_in(log)[0] == 11
    assert main(["train", *words, "--wandb", "disabled"]) == 0
    assert "wandb" not in capsys.readouterr().out.lower().replace(str(tmp_path).lower(), "")


def test_curves_arrive_under_the_gradient_step(tmp_path, fresh):
    said, job = [], job_in(tmp_path, "online")
    with serving() as store:
        server_at(fresh, store.url)
        with tracked(job, "digits-17", True, said.append) as tracker:
            for point in POINTS:
                tracker.log(point)
        assert not said and not store.unknown
        rows = [json.loads(line) for line in store.history[job.key]]
    assert [row["trainer/global_step"] for row in rows] == [9, 18, 27]


@pytest.mark.parametrize("given", ["true", "TRUE", "1", "yes", "on", "t", "Y"])
def test_wandb_disabled_is_honoured_but_for_what_the_command_says(fresh, given):
    fresh.setenv("WANDB_API_KEY", "a" * 40)
    fresh.setenv("WANDB_MODE", "online")
    fresh.setenv("WANDB_DISABLED", given)
    assert resolve_wandb_mode("auto") == "disabled"
    assert resolve_wandb_mode("offline") == "offline"


def test_wandb_disabled_that_says_no_or_nothing(fresh):
    for given in ("false", "0", "", "off"):
        fresh.setenv("WANDB_DISABLED", given)
        assert resolve_wandb_mode("auto") == "offline"
    fresh.setenv("WANDB_DISABLED", "perhaps")
    with pytest.raises(InputError, match="WANDB_DISABLED: 'perhaps' is neither"):
        resolve_wandb_mode("auto")


def test_what_the_wandb_command_has_set_is_honoured(fresh, tmp_path):
    """`wandb disabled` and `wandb offline` write here, `wandb login --host` there."""
    fresh.setenv("WANDB_API_KEY", "a" * 40)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "settings").write_text("[default]\nmode = offline\nproject = mine\n")
    assert resolve_wandb_mode("auto") == "offline" and project() == "mine"
    (tmp_path / "wandb" / "settings").write_text("[default]\nmode = disabled\n")
    assert resolve_wandb_mode("auto") == "disabled" and project() == "mine"
    fresh.setenv("WANDB_MODE", "online")
    assert resolve_wandb_mode("auto") == "online"
    (tmp_path / "wandb" / "settings").write_text("\0[")
    assert resolve_wandb_mode("auto") == "online"


def test_settings_and_logins_that_never_end_are_not_read(fresh, tmp_path):
    (tmp_path / "wandb").mkdir()
    settings, login = tmp_path / "wandb" / "settings", tmp_path / "login"
    fresh.setenv("NETRC", str(login))
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        make(settings)
        with (
            limited(seconds=5),
            pytest.raises(InputError, match="settings: it is not a regular file"),
        ):
            resolve_wandb_mode("auto")
        assert resolve_wandb_mode("disabled") == "disabled"
        settings.unlink()
        make(login)
        with limited(seconds=5):
            assert resolve_wandb_mode("auto") == "offline"
        login.unlink()


def test_a_login_is_found(fresh, tmp_path):
    (tmp_path / "none").write_text("machine api.wandb.ai login user password secret\n")
    assert resolve_wandb_mode("auto") == "online"


def test_a_folder_of_settings_in_nobodys_home_is_none(fresh):
    fresh.setenv("WANDB_CONFIG_DIR", "~nobody9/x")
    assert resolve_wandb_mode("auto") == "offline"


@pytest.mark.parametrize("address", ["http://[bad", "nowhere", "ftp://host", "http://host:port"])
def test_an_address_of_a_server_that_is_none_is_refused(fresh, address):
    fresh.setenv("WANDB_BASE_URL", address)
    for mode in ("auto", "offline", "online"):
        with pytest.raises(InputError, match="WANDB_BASE_URL: .* is not an address"):
            resolve_wandb_mode(mode)
    assert resolve_wandb_mode("disabled") == "disabled"


@pytest.mark.parametrize("given, meant", [("dryrun", "offline"), ("run", "online")])
def test_modes_have_the_other_names_that_wandb_knows(given, meant, fresh):
    fresh.setenv("WANDB_MODE", given)
    assert resolve_wandb_mode("auto") == meant
