"""`bench submit`: what does not fit the records is refused, and nothing is written."""

import hashlib

import pytest

from bench.__main__ import main
from bench.records.record import write_record
from bench.submissions.description import read_submission
from bench.submissions.numbers import TaskFacts
from tests.submissions.conftest import BIBTEX, of_the_board

MODEL, WEIGHTS = b"class Model: ...\n", b"weights"
FACTS = TaskFacts("digits-17", 64, 17, 300, None, None)


def hash_of(content):
    return hashlib.sha256(content).hexdigest()


def scored(seed, model="m"):
    made = of_the_board(model, seed, 2.2)
    made["config"] = {"trainer": {"beta": None}, "model": {"likelihood": "Bernoulli"}}
    made["scored"] = {
        "source": "own.py:Model",
        "sources_sha256": {"own.py": hash_of(MODEL)},
        "weights_sha256": "b" * 64,
        "checkpoint_sha256": hash_of(WEIGHTS + bytes([seed])),
        "adapter": "x",
        "checks": [],
    }
    return made


@pytest.fixture
def submit(tmp_path, monkeypatch, capsys):
    """Return a function that submits two scored seeds; it gives the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.submissions.submit.facts_of", lambda task, runs: FACTS)
    monkeypatch.setattr("bench.submissions.numbers.check_data", lambda *_: None)
    for seed in (1, 2):
        write_record(tmp_path / "scored" / "runs", scored(seed))
        (tmp_path / f"{seed}.pt").write_bytes(WEIGHTS + bytes([seed]))
    (tmp_path / "moved.py").write_bytes(MODEL)
    (tmp_path / "other.py").write_bytes(b"another")
    (tmp_path / "me.bib").write_text(BIBTEX)

    def call(*more, folders=("scored",), licence="MIT"):
        words = ["submit", *folders, "--out", "mine", "--name", "M", "--licence", licence]
        code = main([*words, "--bibtex", "me.bib", *more])
        printed = capsys.readouterr()
        return code, printed.out if code == 0 else printed.err

    return call


def test_files_are_found_by_their_hashes(submit, tmp_path):
    code, printed = submit("--source", "moved.py", "--weights", "2.pt", "--weights", "1.pt")
    assert code == 0 and "next: bench leaderboard add mine" in printed
    found = read_submission(tmp_path / "mine")
    assert found.source == {"own.py": hash_of(MODEL)} and found.says["model"] == "own.py:Model"
    assert found.says["likelihood"] == "Bernoulli"
    for claim in found.seeds:
        assert claim.weights.file == f"weights/seed-{claim.seed}.pt"
        assert (tmp_path / "mine" / claim.weights.file).read_bytes()[-1] == claim.seed
    assert submit()[1].startswith("bench: error: out: mine is there already")


WRONG = [
    (("--source", "other.py"), "no given file is own.py as it was scored"),
    (("--weights", "moved.py"), "moved.py has not the weights of any of these records"),
    (("--weights_url", "https://x"), "each address needs a --weights-sha256"),
    (
        ("--weights_url", "https://x", "--weights_sha256", "0" * 64),
        "one address for each of 2 seeds",
    ),
    (("--row", "model=none"), "none of them matches"),
    (("--recipe", "nothing"), "recipe: 'nothing' is not FILE.py:NAME"),
]


@pytest.mark.parametrize("words, line", WRONG, ids=[line for _, line in WRONG])
def test_what_does_not_fit_is_refused(words, line, submit, tmp_path):
    code, error = submit(*words)
    assert code == 2 and line in error and error.count("\n") == 1
    assert not (tmp_path / "mine").exists() and not list(tmp_path.glob(".submission*"))


def test_a_submission_is_one_row(submit, tmp_path):
    write_record(tmp_path / "scored" / "runs", scored(1, "other"))
    code, error = submit()
    assert code == 2 and "task=digits-17 model=m; task=digits-17 model=other" in error
    assert submit("--row", "model=m")[0] == 0


def test_no_licence_and_no_records(submit):
    assert "is not an SPDX expression" in submit(licence="mine, all mine")[1]
    assert "has neither record.json nor" in submit(folders=("nowhere",))[1]
