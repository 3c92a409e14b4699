"""`bench train`: runs side by side in one folder, listed and reported like a sweep's."""

import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import bench.runs.run
from bench.__main__ import main
from bench.commands.runs import train
from bench.configuration.parsing import parse_run
from bench.errors import InputError
from bench.records.key import key_of
from bench.records.manifest import missing_keys, read_manifest, write_manifest
from bench.records.record import record_path, write_record
from bench.report.report import report
from bench.runs.log import RunLog
from bench.sweep import driver
from bench.sweep.driver import SweepOptions, make_plan
from bench.sweep.folder import locked, prepare_folder
from bench.sweep.single import MANIFEST_LOCK, RUN_LOCK, done_once, list_single_runs, manifest_of
from bench.sweep.status import LOCK, is_driven
from bench.system.files import open_own, write_atomically
from tests.conftest import patience
from tests.limits import limited
from tests.made_up import record

CHECKPOINTS = ("last.ckpt", "best.ckpt")
WORDS = ["--data=digits-binary", "--model=independent_pixels", "--evaluation.importance_samples=2"]


SWEEP = '{"matrix": {"data": ["digits-binary"], "model": ["bernoulli_vae"]}}'
LOCKED = (RUN_LOCK, "log.txt", MANIFEST_LOCK, LOCK)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """{name of a file of results: its path} in a folder of one run, which must not be done."""
    monkeypatch.setattr(bench.runs.run, "run", lambda *_: pytest.fail("was done"))
    key = key_of(parse_run(WORDS))
    folder = tmp_path / "o" / "runs" / key
    folder.mkdir(parents=True)
    own = {name: folder / name for name in (RUN_LOCK, "log.txt", "record.json", *CHECKPOINTS)}
    shared = (MANIFEST_LOCK, LOCK, "manifest.json", "status.json")
    return own | {name: tmp_path / "o" / name for name in shared}


def told(folder, capsys):
    """Return the one line by which `bench train` refuses a folder before any work."""
    with limited(seconds=20):
        assert main(["train", *WORDS, "--output", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_no_link_is_locked_emptied_or_appended_to(place, tmp_path, capsys):
    (tmp_path / "precious").write_text("precious")
    for name in LOCKED:
        place[name].symlink_to(tmp_path / "precious")
        assert f"{place[name]} is not a regular file; move it away" in told(tmp_path / "o", capsys)
        for opened in (open_own, lambda path: RunLog(path.parent)):
            if opened is open_own or name == "log.txt":
                with pytest.raises(InputError, match="not a regular file"):
                    opened(place[name])
        place[name].unlink()
    assert (tmp_path / "precious").read_text() == "precious"


def test_nothing_is_written_through_a_link_by_its_partial_name(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / f".x.{os.getpid()}.partial").symlink_to(tmp_path / "precious")
    write_atomically(tmp_path / "x", "new")
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "x").read_text() == "new" and not (tmp_path / "x").is_symlink()


def test_what_a_lock_or_a_log_holds_stays(tmp_path):
    (tmp_path / RUN_LOCK).write_text("held")
    with done_once(tmp_path), RunLog(tmp_path), RunLog(tmp_path / "other"):
        assert (tmp_path / RUN_LOCK).read_text() == "held"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["FIFO", "folder"])
def test_what_is_no_file_is_told_before_the_work(make, place, tmp_path, capsys):
    for path in place.values():
        make(path)
        assert f"{path} is not a regular file; move it away" in told(tmp_path / "o", capsys)
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_manifest_that_never_ends_is_not_read(place, tmp_path, capsys):
    place["manifest.json"].symlink_to("/dev/zero")
    assert "manifest.json is not a regular file" in told(tmp_path / "o", capsys)
    with limited(seconds=5):
        assert manifest_of(tmp_path / "o") is None
        os.mkfifo(place[LOCK])
        assert not is_driven(tmp_path / "o")


def test_a_sweep_tells_what_is_no_file_before_the_work(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(driver, "run_pending", lambda *_: pytest.fail("was done"))
    (tmp_path / "o.yaml").write_text(SWEEP)
    keys = make_plan(str(tmp_path / "o.yaml"), tmp_path, SweepOptions()).jobs
    run = tmp_path / "o" / "runs" / list(keys)[-1]
    run.mkdir(exist_ok=True)
    for path in (place[LOCK], place["manifest.json"], run / "record.json", run / "best.ckpt"):
        path.mkdir()
        with limited(seconds=20):
            assert main(["sweep", str(tmp_path / "o.yaml"), "--results", str(tmp_path)]) == 2
        assert f"{path} is not a regular file; move it away" in capsys.readouterr().err
        path.rmdir()


@pytest.mark.parametrize("how", ["a file", "a link to nothing"])
def test_runs_that_are_no_folder_are_told_before_the_work(how, tmp_path, capsys):
    (tmp_path / "o").mkdir()
    runs = tmp_path / "o" / "runs"
    runs.touch() if how == "a file" else runs.symlink_to(tmp_path / "nothing")
    assert f"{runs} is not a folder; move it away" in told(tmp_path / "o", capsys)


def test_a_folder_of_results_may_be_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "o").symlink_to(tmp_path / "there")
    prepare_folder(tmp_path / "o", ["0" * 16])
    assert add(tmp_path / "o", 1) and read_manifest(tmp_path / "there")


def test_a_copy_of_a_run_is_no_run(tmp_path):
    add(tmp_path, 1)
    run = tmp_path / "runs" / f"{1:016x}"
    shutil.copytree(run, run.with_name("backup"))
    (tmp_path / "runs" / "x").mkdir()
    (tmp_path / "runs" / "x" / "record.json").symlink_to("nothing")
    assert add(tmp_path, 2)
    assert read_manifest(tmp_path) == [f"{1:016x}", f"{2:016x}"]


def test_what_is_not_a_record_is_listed_and_named_by_the_report(tmp_path):
    broken = tmp_path / "runs" / f"{1:016x}" / "record.json"
    broken.parent.mkdir(parents=True)
    os.mkfifo(broken)
    assert add(tmp_path, 2)
    assert set(read_manifest(tmp_path)) == {f"{1:016x}", f"{2:016x}"}
    with limited(seconds=20), pytest.raises(InputError, match=f"{broken} is damaged"):
        report(tmp_path)


def add(folder, number):
    write_record(folder / "runs", record("m", 1, 2.0) | {"key": f"{number:016x}"})
    return list_single_runs(folder)


def test_single_runs_are_reported_like_a_sweeps(tmp_path, capsys):
    output = tmp_path / "mine"
    assert train([*WORDS, "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert f"bench report mine --results {tmp_path}" in said
    assert main(["status", "mine", "--results", str(tmp_path)]) == 0
    assert "1 runs, 1 done" in capsys.readouterr().out
    assert main(["report", "mine", "--results", str(tmp_path)]) == 0
    assert "independent_pixels" in capsys.readouterr().out
    assert (output / "page.html").is_file()


def test_runs_that_end_at_once_are_all_listed(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda number: add(tmp_path, number), range(24)))
    assert sorted(read_manifest(tmp_path)) == [f"{number:016x}" for number in range(24)]
    # What has been removed is not missed, and the others keep their places.
    record_path(tmp_path / "runs", f"{3:016x}").unlink()
    before = [key for key in read_manifest(tmp_path) if key != f"{3:016x}"]
    assert add(tmp_path, 30)
    assert read_manifest(tmp_path) == [*before, f"{30:016x}"] and not missing_keys(tmp_path)


def test_a_sweeps_list_is_left_alone_and_a_sweep_leaves_single_runs_alone(tmp_path, capsys):
    write_manifest(tmp_path / "swept", ["0" * 16])
    assert not add(tmp_path / "swept", 1)
    assert read_manifest(tmp_path / "swept") == ["0" * 16]
    assert add(tmp_path / "small", 1)
    sweep = tmp_path / "small.yaml"
    sweep.write_text('{"matrix": {"data": ["digits-17"], "model": ["gaussian_vae"]}}')
    assert main(["sweep", str(sweep), "--results", str(tmp_path)]) == 2
    assert "has the single runs of `bench train`" in capsys.readouterr().err


def test_a_run_is_done_while_another_is_and_while_a_sweep_writes_there(tmp_path):
    with locked(tmp_path), done_once(tmp_path / "runs" / ("0" * 16)):
        assert train([*WORDS, "--output", str(tmp_path)]) == 0
    assert len(read_manifest(tmp_path)) == 1


def test_the_same_run_at_the_same_time_is_done_once(tmp_path, monkeypatch, capsys):
    original, calls, waiting = bench.runs.run.run, [], threading.Event()

    def slow(*arguments):
        calls.append(1)
        waiting.wait(patience(60))
        return original(*arguments)

    monkeypatch.setattr(bench.runs.run, "run", slow)
    words = [*WORDS, "--output", str(tmp_path)]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(train, words)
        while not (first.done() or calls and list(tmp_path.glob(f"runs/*/{RUN_LOCK}"))):
            time.sleep(0.05)
        second = pool.submit(train, words)
        said = ""
        while "waiting for its record" not in said and not second.done():
            said += capsys.readouterr().out
            time.sleep(0.05)
        waiting.set()
        assert first.result() == second.result() == 0
    assert len(calls) == 1 and capsys.readouterr().out.count("record: ") == 2
    (path,) = tmp_path.glob("runs/*/record.json")
    assert json.loads(path.read_text())["status"] == "ok"
