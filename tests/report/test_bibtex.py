"""What `bench cite --bibtex` prints is BibTeX, whatever names and reasons hold."""

import bibtexparser
import pytest

from bench.__main__ import main
from bench.records.record import write_record
from bench.records.tables import csv_text
from bench.report.bibtex import latex_text
from bench.report.reduce import runs_table
from tests.made_up import record

COMMIT, OTHER = "c0ffee" * 6 + "c0ff", "0" * 40
STRANGE = r"m {width=10%} a_b \ $x^2$ & ~ # \"q\" @misc{x, Größe"


@pytest.fixture
def entries(tmp_path, capsys):
    """Return {key: {field: text}} of the entries that are printed for runs of these environments."""

    def of(*environments, model="m", folders=("sweep",), status="ok"):
        for folder in folders:
            directory = tmp_path / "results" / folder
            made = []
            for seed, environment in enumerate(environments, start=1):
                made.append(record(model, seed, 2.0, status=status))
                made[-1] |= {"key": f"{seed:016x}", "environment": environment}
                write_record(directory / "runs", made[-1])
            (directory / "runs.csv").write_text(csv_text(runs_table(made, folder)))
        words = ["cite", f"model={model}", "--bibtex", "--results", str(tmp_path / "results")]
        assert main(words) == 0
        printed = capsys.readouterr().out
        library = bibtexparser.parse_string(printed)
        assert not library.failed_blocks
        assert printed.count("@misc{likelihood-bench-") == len(library.entries)
        return {e.key: {f.key: f.value for f in e.fields} for e in library.entries}

    return of


def test_a_row_has_an_entry_for_its_code_and_one_for_its_numbers(entries):
    code = {"commit": COMMIT, "dirty": False, "code_sha256": "d" * 64, "version": "0.0.9"}
    labels, (software, row) = zip(*entries(code, code).items())
    assert software["version"] == "0.0.9" and software["author"].startswith("{")
    assert f"commit {COMMIT}" in software["note"] and "d" * 64 in software["note"]
    assert row["title"] == "Likelihood Bench: digits-17, m, seed 1, 2" and "author" not in row
    assert "2.0000, 2.0000 bits/dim on test, K = 100" in row["note"]
    assert entries(code, code) == dict(zip(labels, (software, row)))
    for part in (f"{1:016x}, {2:016x}", COMMIT, "SHA-256 of the data", "runs.csv"):
        assert part in row["note"]


def test_every_commit_has_its_entry_and_every_table_its_row(entries):
    found = entries({"commit": COMMIT}, {"commit": OTHER}, folders=("sweep", "own"))
    assert list(found)[:2] == [f"likelihood-bench-{name[:12]}" for name in (COMMIT, OTHER)]
    assert len(found) == 4 and len({row["note"] for row in found.values()}) == 4


def test_what_is_not_known_or_not_right_is_said(entries):
    reason = "git is not installed"
    unknown, dirty, row = entries(
        {"commit": None, "commit_unknown": reason}, {"commit": COMMIT, "dirty": True}
    ).values()
    assert f"commit unknown: {reason}" in unknown["note"] and "year" not in unknown
    assert "DIRTY" in dirty["note"] and "DIRTY" in row["note"] and "year" not in row
    assert f"unknown ({reason})" in row["note"]


def test_a_failed_row_has_no_number(entries):
    *_, row = entries({"commit": COMMIT}, status="failed").values()
    assert "no number: failed" in row["note"]


def test_names_of_any_characters_stay_inside_their_field(entries):
    *_, row = entries({"commit": COMMIT}, model=STRANGE).values()
    assert row["title"] == latex_text(f"Likelihood Bench: digits-17, {STRANGE}, seed 1")
    for letter in "$&#_%":
        assert row["title"].count(letter) == row["title"].count(f"\\{letter}")
    assert "{\\textbraceleft}" in row["title"] and "Größe" in row["title"]
