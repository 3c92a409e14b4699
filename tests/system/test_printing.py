"""What reaches a terminal: in its characters, in its width, and nothing that steers it."""

import fcntl
import io
import json
import re
import sys

import pytest

from bench.__main__ import main
from bench.errors import InputError
from bench.records.manifest import write_manifest
from bench.records.record import write_record
from bench.records.tables import csv_text
from bench.report.reduce import leaderboard_table, runs_table
from bench.report.tables import latex, markdown, print_estimates, print_leaderboard
from bench.sweep.progress import STATUS, SweepProgress
from bench.sweep.status import LOCK
from bench.system.printing import number, print_table, printable, say
from tests.made_up import record
from tests.report.test_report_page import full

STEERS = "\x1b]0;pwned\x07\x1b[2J\x9b31m\r\x08\u202e\u2028"
PLAIN = {"±": "+-", "−": "-", "…": "...", "–": "-", "×": "x", "→": "->", "≥": ">=", "é": "\\xe9"}
BIG = -7253946532679273838414.0


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A sweep whose texts are no tags, and a failed run that would take over a terminal."""
    directory = tmp_path_factory.mktemp("results") / "s"
    names = ["[red] a", "[/nope] b…"]
    records = [full(name, seed, 1.5 + seed / 9) for name in names for seed in (1, 2)]
    failed = record("gone", 1, 0.0, status="failed") | {"key": "f" * 16, "reason": STEERS}
    for made in [*records, failed]:
        write_record(directory / "runs", made)
    write_manifest(directory, [made["key"] for made in [*records, failed]])
    (directory / "runs.csv").write_text(csv_text(runs_table([*records, failed], "s")))
    return directory.parent


def written(monkeypatch, encoding, call):
    """Return the exit code of ``call``, and what it writes to stdout and stderr of an encoding."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        code = call()
        for stream in streams:
            stream.flush()
    return code, *(stream.buffer.getvalue().decode(encoding) for stream in streams)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_an_output_without_the_characters_shows_others_and_raises_nothing(
    results, encoding, monkeypatch
):
    def everything(words, called=None):
        records = [full("m…", seed, 1.0 + seed) for seed in (1, 2)]
        print_leaderboard(leaderboard_table(records, "s"))
        print_estimates({"test": {"elbo": {"value": -1.0, "stderr": 0.5}}})
        print("".join(PLAIN))
        raise InputError("no … \udcff")

    monkeypatch.setattr("bench.__main__.dispatch", everything)
    code, out, error = written(monkeypatch, encoding, lambda: main([]))
    assert code == 2 and len(error.splitlines()) == 1 and "\\udcff" in error
    shown = out if encoding == "utf-8" else out.replace("±", "+-").replace("–", "-")
    sign = "±" if encoding == "utf-8" else "+-"
    assert f"2.500 {sign} 6.353" in shown and f"-1.0000 {sign} 0.5000" in shown
    if encoding == "ascii":
        assert out.splitlines()[-1] == "".join(PLAIN.values())
        # A table's lines are as long as each other, whatever stands for what.
        assert len({len(line) for line in out.splitlines()[:-1] if line[:1] in "+|"}) == 2


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize(
    "words", [["status", "s"], ["cite", "task=digits-17"], ["cite", STEERS], ["report", STEERS]]
)
def test_text_of_others_does_not_steer_the_terminal(results, words, encoding, monkeypatch):
    words = [*words, "--results", str(results)]
    code, out, error = written(monkeypatch, encoding, lambda: main(words))
    assert (out + error).replace("\n", "").isprintable()
    if words[0] == "status":
        assert "failed  digits-17 gone seed 1 (ffffffffffffffff): \\x1b]0;pwned\\x07" in out
    assert len(error.splitlines()) == (code == 2)


def test_what_a_run_says_of_itself_does_not_steer_the_terminal(results, monkeypatch, capsys):
    progress = SweepProgress({"k": f"label {STEERS}"}, 0, set())
    progress.finish("k", True, STEERS)
    say(f"note: {STEERS}")
    (results / "s" / LOCK).touch()
    running = {"key": "k", "label": f"[/x] {STEERS}", "phase": STEERS, "share": 0.5, "text": "[b]"}
    content = {"ended": False, "to_do": 1, "cached": 0, "done": 0, "failed": 0, "seconds_left": 1}
    content |= {"running": [running | {"seconds_left": None}]}
    with open(results / "s" / LOCK) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for change in (
            {},
            {"running": 3},
            {"done": "x"},
            {"seconds_left": 1e300},
            {"running": [1]},
        ):
            (results / "s" / STATUS).write_text(json.dumps(content | change))
            assert main(["status", "s", "--results", str(results)]) == 1
    (results / "s" / LOCK).unlink()
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable() and out.count("\\x1b]0;pwned") >= 5
    assert "[/x]" in out and "[b]" in out and out.count("has not yet reported") == 4


def test_a_name_is_neither_markdown_nor_latex():
    name = r"<script>|\[x](y) **b** $a$ `c` \input{z} & <!-- /leaderboard:s -->"
    board = leaderboard_table([full(name, 1, 1.5)], "s")
    row = markdown(board).splitlines()[4]
    assert row.count("|") == markdown(board).splitlines()[2].count("|")
    assert not set(row.replace("&#", "").split("|")[2]) & set("<>[]*$`\\&")
    assert r"\textbackslash{}input\{z\} \&" in latex(board) and "<!--" not in markdown(board)


def test_a_huge_number_is_short_and_whole(capsys):
    assert number(BIG, 2) == "-7.254e+21" and number(1234567.891, 2) == "1234567.89"
    assert number(4.98e24, 4, "+") == "+4.9800e+24" and number(float("nan"), 1) == "nan"
    made = [full("m", seed, 4.98e24 * seed) for seed in (1, 2)] + [full("n", 1, 1.5)]
    board = leaderboard_table(made, "s")
    print_leaderboard(board)
    print_estimates({"test": {"elbo": {"value": BIG, "stderr": -BIG}}})
    shown = [capsys.readouterr().out, markdown(board), latex(board)]
    assert all("7.470e+24" in text for text in shown)
    assert "-7.2539e+21 ± 7.2539e+21" in shown[0]
    assert not any(re.search(r"\d{9}", text) for text in shown)


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_a_narrow_terminal_breaks_and_cuts_no_number(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [["model " + "x" * 30, "12345.678 ± 0.123", "–"], ["m", "2.5", "1.0"]]
    print_table("title", ["", "bits/dim", "other"], rows, texts={0})
    out = capsys.readouterr().out
    assert "12345.678 ± 0.123" in out and "2.5" in out
    if columns == 40:
        assert "bits/dim  12345.678 ± 0.123" in out.splitlines()
    print_leaderboard(leaderboard_table([full("m", s, 1.0 + s / 3) for s in (1, 2)], "s"))
    elbo = {"elbo": {"value": BIG, "stderr": -BIG}}
    print_estimates({"train": elbo, "test": elbo})
    out = capsys.readouterr().out
    assert "1.500 ± 2.118" in out and "…" not in out and out.count("-7.2539e+21 ± 7.2539e+21") == 2


def test_printable_keeps_what_can_be_read():
    assert printable("naïve β-VAE, 日本") == "naïve β-VAE, 日本"
    assert printable("a\nb\t\x00") == "a\\nb\\t\\x00"
    assert str(InputError("a\nb\x1b[0m")) == "a b\\x1b[0m"


@pytest.mark.parametrize("columns", ["²", "٣", "0", "-1", "9" * 5000, ""])
def test_a_width_that_is_none_is_no_limit(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", columns)
    print_table("title", ["a"], [["x" * 300]], texts={0})
    assert "x" * 300 in capsys.readouterr().out
    SweepProgress({"k": "label"}, 0, set())
