"""`make faults`: its table is of today's code, and it tells faults that are noticed from others."""

import re
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import planting
from tests.faults.__main__ import chosen, report, try_all
from tests.faults.planting import Outcome, copy_checkout, outcome_of, try_fault
from tests.faults.table import ROOT, Fault, read_faults

FAULTS = read_faults()
SOUND = "def twice(x):\n    return 2 * x\n"
TESTS = """
import time
from bench.thing import twice

def test_it_is_even():
    assert twice(3) % 2 == 0

def test_it_is_twice():
    assert twice(1) == 2

def test_it_takes_no_time():
    time.sleep(60 * (twice(2) == 5))
"""
THING = Fault("thing", "bench/thing.py", "2 * x", "3 * x", "wrong", ("tests/test_thing.py",))


def test_there_are_enough_faults_of_every_room():
    assert len(FAULTS) >= 64
    assert not [name for name, count in Counter(f.name for f in FAULTS).items() if count > 1]
    rooms = Counter(fault.file.split("/")[1] for fault in FAULTS)
    for (
        room
    ) in "data densities estimators instruments models records report sweep training".split():
        assert rooms[room] >= 5, room


@pytest.mark.parametrize("file", sorted({fault.file for fault in FAULTS}))
def test_faults_are_of_text_that_stands_once_and_compile(file):
    for fault in FAULTS:
        if fault.file == file:
            assert fault.problem(ROOT) is None, fault.name
            assert fault.wrong and fault.tests


def test_the_tests_that_must_notice_exist():
    for node in {test for fault in FAULTS for test in fault.tests}:
        path, *names = node.split("::")
        source = (ROOT / path).read_text(encoding="utf-8")
        for name in names:
            assert re.search(rf"^def {re.escape(name.partition('[')[0])}\(", source, re.M), node


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A repository of one function, copied."""
    root = tmp_path_factory.mktemp("repository")
    contents = {"bench/__init__.py": "", "bench/thing.py": SOUND, "tests/test_thing.py": TESTS}
    for name, content in (
        contents | {".gitignore": "left\n", "left": "", "deleted.py": ""}
    ).items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    (root / "deleted.py").unlink()
    copy = tmp_path_factory.mktemp("copy")
    copy_checkout(copy, root)
    assert sorted(str(p.relative_to(copy)) for p in copy.rglob("*.*")) == sorted(
        [".gitignore", *contents]
    )
    return copy


@pytest.mark.parametrize(
    "fault, kind, detail",
    [
        ("3 * x", "killed", "tests/test_thing.py::test_it_is_even"),
        ("x + x", "survived", ""),
        ("2 * x + (x == 2)", "timeout", "after 2 s"),
        ("2 * y", "not planted", "NameError"),
        ("2 *", "not planted", "does not compile"),
        ("2 * x\nimport nowhere", "not planted", "cannot be imported"),
    ],
)
def test_a_fault_is_killed_only_by_a_test_that_fails(folder, monkeypatch, fault, kind, detail):
    if kind == "timeout":
        monkeypatch.setattr(planting, "LIMIT", 2.0)
        monkeypatch.setattr(planting, "patience", lambda seconds: seconds)
    found = try_fault(replace(THING, fault=fault), folder)
    assert found.kind == kind and detail in found.detail, found
    assert (folder / "bench" / "thing.py").read_text() == SOUND


def test_tests_that_cannot_be_collected_notice_nothing():
    output = (
        "ERROR tests/test_thing.py - ImportError\n!!! Interrupted: 1 error during collection !!!\n"
    )
    assert outcome_of(2, output).kind == "not planted"
    assert outcome_of(-11, "").kind == outcome_of(1, "Traceback").kind == "not planted"
    for node in ("test_a.py::test_b", "test_a.py::test_b[c - d] e]", "a/test_a.py::T::test_b[]"):
        for word in ("ERROR", "FAILED"):
            found = outcome_of(1, f"{word} {node} - ValueError: [no]\n")
            assert found == Outcome("killed", node, reason="ValueError: [no]")
            assert outcome_of(1, f"{word} {node}\n") == Outcome("killed", node)
    missing = "ERROR: not found: test_a.py::test_c\n(no match in any of [<Module test_a.py>])\n"
    assert "not found: test_a.py" in outcome_of(4, missing).detail


def test_every_fault_is_tried_in_a_copy_that_no_other_uses():
    faults = [replace(THING, name=str(number)) for number in range(20)]
    free = {Path("a"), Path("b")}

    def attempt(fault, folder):
        free.remove(folder)
        free.add(folder)
        return Outcome("killed", fault.name)

    outcomes = try_all(faults, sorted(free), lambda *words: None, attempt)
    assert outcomes == {fault.name: Outcome("killed", fault.name) for fault in faults}


def test_only_explained_faults_may_survive(capsys):
    known = replace(THING, name="known", survives="it changes no number")
    outcomes = {"thing": Outcome("killed"), "known": Outcome("survived")}
    assert report([THING, known], outcomes) == 0
    assert "1 of 2 faults killed, 1 survived" in capsys.readouterr().out
    assert report([THING, known], outcomes | {"known": Outcome("killed")}) == 1
    for kind in ("survived", "timeout", "not planted"):
        assert report([THING, known], outcomes | {"thing": Outcome(kind)}) == 1
    assert chosen([THING, known], ["know"]) == [known] and chosen([THING], []) == [THING]
