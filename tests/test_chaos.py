"""`make chaos` on a stand-in for a sweep, which is there until it is killed."""

import subprocess

import pytest

from tests import chaos


class Ending(subprocess.Popen):
    """Has ended before it is killed, however busy the machine is."""

    def wait(self, timeout=None):
        return super().wait()


def stand_in(monkeypatch, resumed: str, lives: list[int]) -> None:
    """Let a sweep be a driver alone, which writes ``resumed`` if it goes on from another one.

    Args:
        lives: How many drivers each sweep after the undisturbed one takes, of which all but the last
            wait for their end.
    """
    left = {"calm": 1} | {f"disturbed-{n + 1}": number for n, number in enumerate(lives)}

    def start(name, results, folder):
        place = results / name.stem
        place.mkdir(parents=True, exist_ok=True)
        table = resumed if (place / "begun").exists() else "1.0"
        (place / "begun").touch()
        left[results.name] -= 1
        if left[results.name]:
            return subprocess.Popen(["sleep", "600"])
        script = f"for t in runs leaderboard; do echo {table} > $t.csv; done"
        return Ending(["sh", "-c", script], cwd=place)

    monkeypatch.setattr(chaos, "start", start)
    monkeypatch.setattr(chaos, "VICTIMS", {"driver": 1})


def test_chaos_kills_as_often_as_it_says_and_tells_how_far_it_is(monkeypatch, tmp_path):
    """Of three sweeps, the first of which ends before anything is killed."""
    stand_in(monkeypatch, resumed="1.0", lives=[1, 2, 2])
    told = []
    done = chaos.chaos(chaos.SWEEP, tmp_path, 2, 1, lambda *words: told.append(words[1]))
    assert done == {"driver": 2} and told == [0.0, 0.5, 1.0]
    assert sorted(path.name for path in tmp_path.glob("disturbed-*")) == [
        f"disturbed-{number}" for number in (1, 2, 3)
    ]


def test_chaos_sees_a_table_that_differs_after_a_kill(monkeypatch, tmp_path):
    stand_in(monkeypatch, resumed="1.0000001", lives=[2])
    with pytest.raises(RuntimeError, match="runs.csv of .*disturbed-1 differs"):
        chaos.chaos(chaos.SWEEP, tmp_path, 1, 1, lambda *words: None)
