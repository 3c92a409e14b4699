"""`bench cite` finds rows of submissions on a board, and says what stands behind them."""

import re

import pytest

from bench.__main__ import main
from bench.submissions.bibtex import check_bibtex


@pytest.fixture
def cite(board, capsys):
    """Return a function that cites; it gives the exit code and what was printed."""

    def call(row, *more, results=board):
        capsys.readouterr()
        code = main(["cite", row, "--results", str(results), *more])
        printed = capsys.readouterr()
        return code, printed.out if code == 0 else printed.err

    return call


def test_a_row_of_a_submission_is_cited_with_its_level(claim, add, board, cite):
    assert add(claim())[0] == 0
    code, text = cite("task=digits-17 model=Theirs")
    assert code == 0
    assert f"{board}/leaderboard-v1.csv" in text and "row      digits-17, Theirs, seed 1, 2" in text
    assert "level    claimed: the submitter's own numbers" in text
    assert "2.2521 bits/dim on test, mean of seeds 1, 2, K = 100" in text
    assert "licence  MIT" in text and "cite     me in" in text
    # The same from the folder of all results.
    assert cite("model=Theirs", results=board.parent)[1] == text


def test_its_bibtex_is_the_submitters_and_the_rows(claim, add, board, cite):
    assert add(claim())[0] == 0
    code, text = cite("model=Theirs", "--bibtex", "true")
    assert code == 0
    assert check_bibtex(text) == "me"
    own, row = text.split("\n\n")[:2]
    assert own.startswith("@misc{me,") and row.startswith("@misc{likelihood-bench-")
    assert "level of verification: claimed" in row and "model: see me" in row
    assert row.count("{") == row.count("}")


def test_a_record_of_a_submission_is_found_by_its_key(with_record, add, cite):
    folder = with_record()
    assert add(folder)[0] == 0
    key = re.search(r"record: (\w+)", (folder / "submission.yaml").read_text())[1]
    code, text = cite(key[:8])
    assert code == 0 and f"key      {key}" in text


def test_what_is_on_no_board_is_one_line(claim, add, cite):
    assert add(claim())[0] == 0
    for row in ("model=nobody", "0123456789abcdef", "seed=1 model=Theirs"):
        code, line = cite(row)
        assert code == 2 and line.count("\n") == 1, row
