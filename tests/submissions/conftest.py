"""A board with two models of its own, and submissions to it."""

import hashlib

import pytest
import yaml

from bench.__main__ import main
from bench.records.record import write_record
from bench.records.tables import csv_text
from bench.report.reduce import runs_table
from tests.made_up import record

BIBTEX = "@misc{me, author = {Me}, title = {A {VAE}}, year = 2026}\n"
CLAIM = {
    "format": 1,
    "name": "Theirs",
    "task": "digits-17",
    "licence": "MIT",
    "citation": "citation.bib",
    "selected_on": "validation",
    "importance_samples": 100,
    "seeds": [
        {"seed": 1, "log_likelihood": -100.0, "elbo": -103.0, "reconstruction": -95.0, "kl": 8.0},
        {"seed": 2, "bits_per_dim": 2.25},
    ],
}


def of_the_board(model, seed, bits):
    made = record(model, seed, bits)
    digest = hashlib.sha256(f"{model}{seed}".encode()).hexdigest()
    return made | {"key": digest[:16]}


@pytest.fixture
def board(tmp_path):
    folder = tmp_path / "board"
    records = [of_the_board(m, s, b + s / 100) for m, b in (("a", 2.1), ("b", 2.6)) for s in (1, 2)]
    folder.mkdir()
    (folder / "runs.csv").write_text(csv_text(runs_table(records, "board")))
    return folder


@pytest.fixture
def claim(tmp_path):
    """Return a function that writes a submission of numbers alone, with changes to its YAML."""

    def write(where="theirs", bibtex=BIBTEX, seed=None, **changes):
        folder = tmp_path / where
        folder.mkdir()
        says = {k: v for k, v in (CLAIM | changes).items() if v is not None}
        if seed is not None:
            says["seeds"] = [{"seed": 1, **seed}]
        (folder / "submission.yaml").write_text(yaml.safe_dump(says))
        (folder / "citation.bib").write_text(bibtex)
        return folder

    return write


@pytest.fixture
def add(board, capsys):
    """Return a function that adds a folder; it gives the exit code and what was printed."""

    def call(folder, *more):
        code = main(["leaderboard", "add", str(folder), "--board", str(board), *more])
        printed = capsys.readouterr()
        return code, printed.out if code == 0 else printed.err

    return call


@pytest.fixture
def with_record(claim):
    """Return a function that writes a submission of one record, after a change to it."""

    def write(change=lambda made: None, **seed):
        made = of_the_board("theirs", 1, 2.2)
        change(made)
        folder = claim(seed={"record": made["key"], **seed})
        write_record(folder / "runs", made)
        return folder

    return write
