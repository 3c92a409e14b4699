"""What is printed to be cited: nothing that is not known, and no recipe that cannot work."""

import os
import shlex

import pytest

from bench.__main__ import main
from bench.errors import InputError
from bench.records.record import write_record
from bench.records.tables import csv_text, read_runs
from bench.report.citation import citation
from bench.report.reduce import runs_table
from bench.system.checkout import read_checkout
from tests.made_up import record

COMMIT = "c0ffee" * 6 + "c0ff"
CODE = {"code_sha256": "d" * 64, "version": "0.0.9"}


@pytest.fixture
def cited(tmp_path, capsys):
    """Return what `bench cite` prints for the runs of model 'm' with these environments, and code."""

    def cite(*environments, with_records=True, row="task=digits-17 model=m"):
        folder = tmp_path / "results" / "sweep"
        records = []
        for seed, environment in enumerate(environments, start=1):
            made = record("m", seed, 2.0)
            made |= {"key": f"{seed:016x}", "environment": environment}
            records.append(made)
            if with_records:
                write_record(folder / "runs", made)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "runs.csv").write_text(csv_text(runs_table(records, "sweep")))
        code = main(["cite", row, "--results", str(folder.parent)])
        return code, capsys.readouterr().out

    return cite


def test_an_unknown_commit_is_said_and_never_checked_out(cited):
    unknown = CODE | {"commit": None, "dirty": None, "commit_unknown": "git is not installed"}
    code, printed = cited(unknown, unknown)
    assert code == 0 and "commit   unknown: git is not installed\n" in printed
    assert f"code     sha256 {'d' * 64}, version 0.0.9" in printed
    assert "install version 0.0.9 of likelihood-bench" in printed
    assert "nan" not in printed and "None" not in printed and "worktree" not in printed


@pytest.mark.parametrize("with_records", [True, False])
def test_without_a_record_or_a_reason_a_commit_is_unknown_as_well(cited, with_records):
    code, printed = cited({"commit": None}, with_records=with_records)
    assert code == 0 and "commit   unknown: the code was in no checkout" in printed
    assert "install the version that made it" in printed and "nan" not in printed


def test_a_commit_from_before_verify_is_run_by_what_it_has(cited, monkeypatch):
    monkeypatch.setattr("bench.report.citation.lacks_at", lambda commit, path: True)
    code, printed = cited(CODE | {"commit": COMMIT, "dirty": False})
    assert code == 0 and "bench sweep sweep --results again" in printed
    assert "bench verify" not in printed


@pytest.mark.parametrize("with_records", [True, False])
def test_a_dirty_tree_is_named_and_its_commit_is_no_recipe(cited, with_records):
    code, printed = cited(CODE | {"commit": COMMIT, "dirty": True}, with_records=with_records)
    assert code == 0 and COMMIT in printed and "DIRTY" in printed
    assert "worktree" not in printed and "bench verify" not in printed


def test_every_commit_of_a_row_has_its_recipe_with_its_own_seeds(cited):
    other = "0" * 40
    clean = [{"commit": name, "dirty": False} for name in (COMMIT, other, COMMIT)]
    _, printed = cited(*clean)
    assert f"commit   {COMMIT} (seed 1, 3)" in printed and f"commit   {other} (seed 2)" in printed
    recipes = printed.split("git worktree add --detach ")
    assert [recipe.split()[1] for recipe in recipes[1:]] == [COMMIT, other]
    assert [recipes[1].count(f"--row {seed:016x}") for seed in (1, 2, 3)] == [1, 0, 1]
    assert [recipes[2].count(f"--row {seed:016x}") for seed in (1, 2, 3)] == [0, 1, 0]


def test_one_commit_has_one_recipe_for_all_seeds(cited):
    _, printed = cited(*[{"commit": COMMIT, "dirty": False}] * 2)
    assert printed.count("worktree add") == 1 and "seed 1, 2\n" in printed
    assert shlex.split(printed)[-2:] == ["--row", "task=digits-17 model=m"]


def test_a_record_whose_code_is_not_its_commits_is_named(cited):
    here = read_checkout().commit
    if here is None:
        pytest.skip("this is no checkout")
    _, printed = cited(CODE | {"commit": here, "dirty": False})
    assert "WRONG: the code of this commit has another hash" in printed


def test_a_table_that_is_not_its_records_is_named(cited, tmp_path):
    cited({"commit": COMMIT})
    path = tmp_path / "results" / "sweep" / "runs.csv"
    path.write_text(path.read_text().replace(",2.0,", ",1.0,"))
    assert "ALTERED: the table's bits_per_dim differs from the run's" in citation(
        read_runs(path), path.parent
    )


def test_what_is_not_a_record_is_named_and_not_passed_over(cited, tmp_path, capsys):
    cited({"commit": COMMIT})
    path = tmp_path / "results" / "sweep" / "runs" / f"{1:016x}" / "record.json"
    path.unlink()
    os.mkfifo(path)
    assert main(["cite", "task=digits-17 model=m", "--results", str(tmp_path / "results")]) == 2
    assert f"{path} is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("commit", ["x; rm -rf ~", "$(id)", "HEAD", "-f", "nan", ""])
def test_a_commit_that_is_none_is_in_no_command(cited, tmp_path, capsys, commit):
    cited({"commit": COMMIT}, with_records=False)
    path = tmp_path / "results" / "sweep" / "runs.csv"
    path.write_text(path.read_text().replace(COMMIT, commit))
    code = main(["cite", "task=digits-17 model=m", "--results", str(tmp_path / "results")])
    printed, said = capsys.readouterr()
    assert "worktree" not in printed
    if commit:
        assert code == 2 and printed == "" and "a cell of column commit is not a commit" in said
    else:
        assert code == 0 and "commit   unknown" in printed


def test_keys_and_commits_of_digits_alone_are_text(cited):
    _, printed = cited({"commit": "1" * 40}, with_records=False, row="0000")
    assert f"key      {1:016x}\n" in printed and f"commit   {'1' * 40}\n" in printed


@pytest.mark.parametrize(
    "wrong",
    [(",test,", ",tests,"), ("\n0000000000000001,", "\n../../../../../x,"), (",1,", ",one,")],
)
def test_a_line_that_is_no_run_is_named(cited, tmp_path, wrong):
    cited({"commit": COMMIT}, with_records=False)
    path = tmp_path / "results" / "sweep" / "runs.csv"
    path.write_text(path.read_text().replace(*wrong))
    with pytest.raises(
        InputError, match="line [23] is not a row of a run|cannot be read as a table"
    ):
        read_runs(path)


@pytest.mark.parametrize("with_records", [True, False])
def test_a_scored_row_is_not_sent_to_verify(cited, monkeypatch, with_records):
    plain = record

    def scored(model, seed, bits):
        made = plain(model, seed, bits)
        made["config"] = {"trainer": {"beta": None}}
        source, weights = {"own.py": "a" * 64}, {"weights_sha256": "b" * 64}
        made["scored"] = weights | {"adapter": "x", "checks": [], "sources_sha256": source}
        return made | {
            "scored": made["scored"] | {"source": "own.py:f", "checkpoint_sha256": "c" * 64}
        }

    monkeypatch.setitem(globals(), "record", scored)
    unknown = CODE | {"commit": None, "dirty": None}
    code, printed = cited(unknown, unknown, with_records=with_records)
    assert code == 0 and "--row" not in printed
    name = "own.py:f" if with_records else "FILE.py:NAME"
    for seed in (1, 2):
        command = f"bench score {name} --checkpoint FILE --data digits-17 --seed {seed}"
        assert f"           {command}\n" in printed + "\n"
    assert (f"sha256 {'c' * 64} weights" in printed) == with_records
