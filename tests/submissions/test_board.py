"""Boards: rows of others beside ours, in versions that are never written again."""

import hashlib

import pandas as pd
import pytest

from bench.__main__ import main
from bench.submissions.board import read_versions


def table(board, number=1):
    return pd.read_csv(board / f"leaderboard-v{number}.csv", keep_default_na=False, na_values=[""])


def test_a_claim_is_ranked_beside_ours_with_its_level_everywhere(claim, add, board):
    code, printed = add(claim())
    assert code == 0
    rows = table(board).set_index("model")
    assert list(rows.index) == ["a", "Theirs", "b"] and list(rows["rank"]) == [1, 2, 3]
    assert list(rows["verification"]) == ["own run", "claimed", "own run"]
    assert rows.loc["Theirs", "seeds"] == 2 and rows.loc["Theirs", "licence"] == "MIT"
    assert rows.loc["Theirs", "bits_per_dim_low"] < rows.loc["Theirs", "bits_per_dim"]
    page = (board / "leaderboard-v1.html").read_text()
    for text in (printed, page):
        assert "verification" in text and "own run" in text and "claimed" in text
        assert "only contradictions were searched for" in text
    kept = board / rows.loc["Theirs", "submission"]
    assert (kept / "submission.yaml").is_file() and (kept / "citation.bib").is_file()


def test_failed_seeds_are_counted_and_markup_is_text(claim, add, board):
    seeds = [{"seed": 1, "bits_per_dim": 2.2}, {"seed": 2, "failed": "NaN in epoch 4"}]
    assert add(claim(name="<b>x", seeds=seeds))[0] == 0
    rows = table(board).set_index("model")
    assert rows.loc["<b>x", "failed"] == 1 and rows.loc["<b>x", "survivors_only"]
    assert "<b>x" not in (board / "leaderboard-v1.html").read_text()


def test_another_k_is_not_ranked(claim, add, board):
    assert add(claim(importance_samples=5000))[0] == 0
    rows = table(board).set_index("model")
    assert pd.isna(rows.loc["Theirs", "rank"]) and rows.loc["Theirs", "importance_samples"] == 5000


def test_a_record_is_a_row_as_it_is(with_record, add, board):
    assert add(with_record())[0] == 0
    rows = table(board).set_index("model")
    assert rows.loc["Theirs", "bits_per_dim"] == pytest.approx(2.2)
    assert rows.loc["Theirs", "verification"] == "claimed"


def test_a_row_is_added_once_and_a_name_is_one_submission(claim, add):
    first = claim()
    assert add(first)[0] == 0
    assert "is in leaderboard-v1 already, as claimed" in add(first)[1]
    assert "leaderboard-v1 has another row Theirs" in add(claim("again", licence="ISC"))[1]


def test_a_frozen_version_stays_and_can_be_made_again(claim, add, board, capsys, tmp_path):
    assert add(claim())[0] == 0
    frozen = (board / "leaderboard-v1.csv").read_bytes()
    assert main(["leaderboard", "freeze", "--board", str(board)]) == 0
    assert main(["leaderboard", "freeze", "--board", str(board)]) == 2
    assert add(claim("second", name="Second"))[0] == 0
    assert (board / "leaderboard-v1.csv").read_bytes() == frozen
    assert [version.frozen for version in read_versions(board)] == [True, False]
    assert list(table(board, 2)["model"]) == ["a", "Theirs", "Second", "b"]
    again = tmp_path / "again.csv"
    words = ["leaderboard", "rescore", "1", "--board", str(board), "--output", str(again)]
    assert main(words) == 0
    assert again.read_bytes() == frozen
    assert main(words) == 2  # it is there
    capsys.readouterr()
    nowhere = again / "below" / "a.csv"  # again.csv is a file
    assert main([*words[:-1], str(nowhere)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("bench: error: ")


def test_a_table_that_was_changed_is_not_added_to(claim, add, board):
    assert add(claim())[0] == 0
    path = board / "leaderboard-v1.csv"
    path.write_text(path.read_text().replace("claimed", "evaluated"))
    code, line = add(claim("second", name="Second"))
    assert code == 2 and "is not the table that was written" in line


def test_a_submission_beside_the_board_that_was_changed_is_noticed(claim, add, board):
    assert add(claim())[0] == 0
    (path,) = board.glob("submissions/*/submission.yaml")
    path.write_text(path.read_text().replace("-100.0", "-90.0"))
    code, line = add(claim("second", name="Second"))
    assert code == 2 and line.count("\n") == 1


def test_what_cannot_be_evaluated_says_why(claim, add):
    assert "cannot be evaluated: its weights are not given" in add(claim(), "--evaluate")[1]
    folder = claim(
        "far", seed={"bits_per_dim": 2.2, "weights": {"url": "https://x", "sha256": "0" * 64}}
    )
    assert "its weights are elsewhere: download them" in add(folder, "--evaluate")[1]
    assert "recipe" in add(claim("r"), "--retrain")[1] or "model" in add(claim("s"), "--retrain")[1]


@pytest.mark.parametrize("words", [[], ["remove"], ["add"], ["rescore", "7"], ["add", "nowhere"]])
def test_what_is_no_action_is_one_line(words, board, capsys):
    assert main(["leaderboard", *words, *(["--board", str(board)] if words else [])]) == 2
    error = capsys.readouterr().err
    assert error.startswith("bench: error: ") and error.count("\n") == 1


def test_a_board_may_be_published_without_weights_and_a_submission_may_not(claim, add, board):
    digest = hashlib.sha256(b"weights").hexdigest()
    where = {"file": "weights/1.pt", "sha256": digest}
    folder = claim(seed={"bits_per_dim": 2.2, "weights": where})
    assert "weights/1.pt is not in the folder" in add(folder)[1]
    (folder / "weights").mkdir()
    (folder / "weights" / "1.pt").write_bytes(b"weights")
    assert add(folder)[0] == 0
    (kept,) = board.glob("submissions/*/weights/1.pt")
    kept.unlink()
    assert add(claim("second", name="Second"))[0] == 0
    assert set(table(board)["model"]) == {"a", "b", "Theirs", "Second"}
    kept.write_bytes(b"others")
    assert "has SHA-256" in add(claim("third", name="Third"))[1]
