"""Functions that take turns: one at a time, in a circle, to the end of all."""

import threading

import pytest

from bench.training.turns import Stopped, Turns


def test_one_runs_at_a_time_and_in_a_circle():
    seen = []

    def count(name, number):
        for step in range(number):
            seen.append((name, step))
            turns.pass_on()
        return number

    turns = Turns([lambda: count("a", 1), lambda: count("b", 3), lambda: count("c", 2)])
    assert turns.run() == [1, 3, 2]
    assert seen == [("a", 0), ("b", 0), ("c", 0), ("b", 1), ("c", 1), ("b", 2)]


def test_an_error_is_raised_when_the_others_have_ended():
    ended = []

    def fail():
        raise ValueError("mine")

    def go_on():
        turns.pass_on()
        ended.append(True)

    turns = Turns([fail, go_on])
    with pytest.raises(ValueError, match="mine"):
        turns.run()
    assert ended == [True]


def test_an_interrupted_caller_stops_the_functions(monkeypatch):
    stopped, both_run = [], threading.Event()

    def endless():
        try:
            while True:
                turns.pass_on()
                both_run.set()
        except Stopped:
            stopped.append(True)
            raise

    turns = Turns([endless, endless])
    original, calls = turns.ended.wait, []

    def interrupted():
        calls.append(True)
        if len(calls) == 1:
            both_run.wait()
            raise KeyboardInterrupt
        return original()

    monkeypatch.setattr(turns.ended, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        turns.run()
    assert stopped == [True, True]
