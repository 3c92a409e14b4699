"""`make chaos` on a stand-in for a sweep, of half a second."""

import subprocess

import pytest

from tests import chaos


def stand_in(monkeypatch, resumed: str) -> None:
    """Let a sweep be a driver alone, which writes ``resumed`` if it goes on from another one."""

    def start(name, results, folder):
        place = results / name.stem
        place.mkdir(parents=True, exist_ok=True)
        was_killed = (place / "begun").exists()
        (place / "begun").touch()
        table = resumed if was_killed else "1.0"
        script = f"sleep 0.5; for t in runs leaderboard; do echo {table} > $t.csv; done"
        return subprocess.Popen(["sh", "-c", script], cwd=place)

    monkeypatch.setattr(chaos, "start", start)
    monkeypatch.setattr(chaos, "VICTIMS", {"driver": 1})


def test_chaos_kills_as_often_as_it_says_and_tells_how_far_it_is(monkeypatch, tmp_path):
    stand_in(monkeypatch, resumed="1.0")
    told = []
    done = chaos.chaos(chaos.SWEEP, tmp_path, 2, 1, lambda *words: told.append(words[1]))
    assert done == {"driver": 2} and told == [0.0, 0.5, 1.0]


def test_chaos_sees_a_table_that_differs_after_a_kill(monkeypatch, tmp_path):
    stand_in(monkeypatch, resumed="1.0000001")
    with pytest.raises(RuntimeError, match="runs.csv of .*disturbed-1 differs"):
        chaos.chaos(chaos.SWEEP, tmp_path, 1, 1, lambda *words: None)
