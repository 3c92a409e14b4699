"""What the repository's history says of published numbers: which were there before our runs."""

import csv
import io
import subprocess
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import pandas as pd
import pytest
import yaml

from bench.report.published import Published, published, published_file

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = "bench/report/published.yaml"
MATCHES = pd.read_csv(ROOT / "results" / "paper_match.csv", dtype=str, keep_default_na=False)
WITHDRAWN = ROOT / "results" / "withdrawn.csv"
ROW = ["sweep", "task", "model", "column", "split"]
REFERENCE = ("value", "spread", "unit", "source")


def git(*words: str) -> str:
    """Return what git says of this checkout, whoever owns it."""
    command = ["git", "-c", f"safe.directory={ROOT}", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def why_no_history() -> str | None:
    try:
        if git("rev-parse", "--show-toplevel").strip() != str(ROOT):
            return "the repository around the code does not contain it"
        return "a shallow clone" if "true" in git("rev-parse", "--is-shallow-repository") else None
    except FileNotFoundError:
        return "no git"
    except subprocess.CalledProcessError:
        return "no checkout that git can read"


WHY = why_no_history()
needs_history = pytest.mark.skipif(WHY is not None, reason=f"no history: {WHY}")


def is_ancestor(old: str, new: str) -> bool:
    command = ["git", "-c", f"safe.directory={ROOT}", "merge-base", "--is-ancestor", old, new]
    return subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0


@lru_cache(maxsize=1)
def versions() -> list[tuple[str, datetime, list[dict[str, object]]]]:
    """Return commit, time and entries of every version of published.yaml, the newest first."""
    found = []
    for line in git("log", "--topo-order", "--format=%H %aI", "--", PUBLISHED).splitlines():
        commit, time = line.split()
        try:
            content = yaml.load(git("show", f"{commit}:{PUBLISHED}"), yaml.CSafeLoader)
        except yaml.YAMLError:  # so were two versions of 24 November 2026, for 50 minutes
            continue
        # It was a list, at first without sweeps.
        entries = content if isinstance(content, list) else content["entries"]
        found.append((commit, datetime.fromisoformat(time), entries))
    return found


def fixed_by(entry: Published, fields: tuple[str, ...]) -> tuple[str, datetime] | None:
    """Return the commit, and its time, since which an entry has these fields as they are today.

    None: no commit has it yet.
    """
    since = None
    for commit, time, entries in versions():
        same = [
            old
            for old in entries
            if all(old.get(name, getattr(entry, name)) == getattr(entry, name) for name in ROW[:4])
            and old.get("split", "test") == entry.split
        ]
        if not same or any(same[0].get(name) != getattr(entry, name) for name in fields):
            break
        since = (commit, time)
    return since


@needs_history
def test_a_reference_and_its_margin_are_as_old_as_they_say():
    for entry in published():
        for part, fields in (("reference", REFERENCE), ("margin", ("margin",))):
            since = fixed_by(entry, fields)
            said = getattr(entry, f"{part}_fixed")
            if since is not None and said is not None:
                assert said >= since[1], f"{part} of {entry}: it is of {since[1].isoformat()}"


@needs_history
def test_the_times_of_runs_are_those_of_their_code():
    for commit, time in published_file()["run_commits"].items():
        assert datetime.fromisoformat(git("show", "-s", "--format=%aI", commit).strip()) == time


@needs_history
def test_what_paper_match_says_was_fixed_before_a_run_was_in_the_code_that_ran():
    entries = {tuple(getattr(entry, name) for name in ROW): entry for entry in published()}
    said = []
    for _, row in MATCHES.iterrows():
        entry = entries[tuple(row[name] for name in ROW)]
        for part, fields in (("reference", REFERENCE), ("margin", ("margin",))):
            words = row[f"{part}_before_run"]
            if (since := fixed_by(entry, fields)) is None or not words:
                continue
            before = [is_ancestor(since[0], commit) for commit in row["commit"].split()]
            # "not known" fails: the run's commit belongs among run_commits.
            assert before and words == ("yes" if all(before) else "no"), (part, *row[ROW])
            said.append(words)
    assert {"yes", "no"} <= set(said)


def test_the_recipe_of_a_row_is_that_of_its_commit():
    """Configurations count as code: a run whose recipe its commit lacks is dirty."""
    for sweep, rows in MATCHES.groupby("sweep"):
        runs = pd.read_csv(ROOT / "results" / sweep / "runs.csv")
        own = runs[runs["model"].isin(rows["model"]) & runs["task"].isin(rows["task"])]
        assert len(own) and not own["dirty"].any() and own["dirty"].notna().all()


def test_withdrawn_numbers_are_told_in_full():
    with WITHDRAWN.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = "task model column split unit ours importance_samples epochs seeds published"
    columns += " verdict_then table table_commit run_commit reason replaced_by"
    assert list(rows[0]) == columns.split()
    empty_ones = {"importance_samples", "seeds", "verdict_then", "run_commit"}
    for row in rows:
        assert all(value for name, value in row.items() if name not in empty_ones), row
    numbers = {f"{float(row['ours']):.5g}" for row in rows}
    assert {"-85.614", "-90.57", "-88.673", "1.3839"} <= numbers


@needs_history
def test_commits_of_withdrawn_numbers_hold_them():
    with WITHDRAWN.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        text = git("show", f"{row['table_commit']}:{row['table']}")
        if row["table"].endswith(".md"):
            assert row["ours"] in text.replace("−", "-")
            continue
        then = {
            (old["task"], old["model"], old["column"]): old
            for old in csv.DictReader(io.StringIO(text))
        }
        old = then[row["task"], row["model"], row["column"]]
        same = ("split", "unit", "ours", "importance_samples", "epochs", "seeds")
        assert [row[name] for name in same] == [old[name] for name in same]
        held = [old["theirs"], old["verdict"], old["commit"]]
        assert [row["published"], row["verdict_then"], row["run_commit"]] == held
        now = MATCHES[[all(new[n] == row[n] for n in ROW[1:4]) for _, new in MATCHES.iterrows()]]
        assert (now["ours"] != row["ours"]).all() or row["column"] == "active_units"
