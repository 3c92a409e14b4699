"""`bench train`: runs side by side in one folder, listed and reported like a sweep's."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import bench.run
from bench.__main__ import main
from bench.commands.runs import train
from bench.record import record_path, write_record
from bench.report.reduce import missing_keys, read_manifest, write_manifest
from bench.sweep.driver import locked
from bench.sweep.single import RUN_LOCK, done_once, list_single_runs
from tests.made_up import record

WORDS = ["--data=digits-binary", "--model=independent_pixels", "--evaluation.importance_samples=2"]


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
    original, calls, waiting = bench.run.run, [], threading.Event()

    def slow(*arguments):
        calls.append(1)
        waiting.wait(30)
        return original(*arguments)

    monkeypatch.setattr(bench.run, "run", slow)
    words = [*WORDS, "--output", str(tmp_path)]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(train, words)
        while not list(tmp_path.glob(f"runs/*/{RUN_LOCK}")) or not calls:
            time.sleep(0.05)
        second = pool.submit(train, words)
        said = ""
        while "waiting for its record" not in said:
            said += capsys.readouterr().out
            time.sleep(0.05)
        waiting.set()
        assert first.result() == second.result() == 0
    assert len(calls) == 1 and capsys.readouterr().out.count("record: ") == 2
    (path,) = tmp_path.glob("runs/*/record.json")
    assert json.loads(path.read_text())["status"] == "ok"
