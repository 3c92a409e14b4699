"""Whatever a publisher writes into a table: a number that is not reproduced never counts as good."""

from copy import deepcopy
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records.columns import runs_columns
from bench.records.record import read_record
from bench.records.row import METRICS
from bench.records.run_columns import DIAGNOSTICS
from bench.records.tables import chosen_rows, read_runs
from bench.sweep.tolerances import seeds_beside, tolerance, values_beside, words_on
from bench.sweep.verdicts import FACTS, Cited, has_same_data, judge

MNIST = Path(__file__).parents[2] / "results" / "mnist"
RUNS = chosen_rows(read_runs(MNIST / "runs.csv"), "task=mnist-dynamic model=gated_vae", "runs.csv")
KEY = RUNS["key"].iloc[0]
# The run done again, with the numbers of its record.
AGAIN = read_record(MNIST / "runs" / KEY / "record.json")
MEASURED = [name for name in METRICS if name in AGAIN["metrics"]["test"]]


def verdict_on(runs, environment=None):
    """Hold AGAIN against KEY's rows in ``runs``, published with that environment or no record."""
    record = AGAIN | {"environment": AGAIN["environment"] | (environment or {})}
    record = None if environment is None else record
    cited = Cited(KEY, runs[runs["key"] == KEY], AGAIN["config"], record, None)
    return judge(cited, AGAIN, runs, False)


def test_a_row_that_was_stacked_is_held_by_tolerances():
    """A run that is done alone is rounded otherwise, on the same machine too."""
    moved = edited({"bits_per_dim": RUNS.loc[RUNS["key"] == KEY, "bits_per_dim"].iloc[-1] + 1e-9})
    assert verdict_on(moved, {}).outcome == "outside"
    verdict = verdict_on(moved, {"stacked": 3})
    assert verdict.outcome == "within" and "stacked: 3 → 1" in verdict.reasons[-1]


def edited(cells, runs=RUNS, key=KEY, split="test"):
    runs = runs.copy()
    for name, value in cells.items():
        # As read back from a file: a cell may hold what its column's type is not.
        runs[name] = runs[name].astype(object)
        runs.loc[(runs["key"] == key) & (runs["split"] == split), name] = value
    return runs


def test_what_was_published_is_identical_to_itself():
    assert verdict_on(RUNS).outcome == "identical"
    assert verdict_on(edited({"commit": "0" * 40, "dirty": False})).outcome == "identical"


BETTER = {"bits_per_dim": 0.15, "log_likelihood": 0.15 * -543.4}


@pytest.mark.parametrize(
    "cells",
    [
        BETTER | {"bits_per_dim_stderr": 0.5},
        BETTER | {"bits_per_dim_stderr": inf},
        BETTER | {"bits_per_dim_stderr": nan},
        BETTER | {"dimensions": 10**9},
        BETTER | {"parameters": 0},
        BETTER | {"status": "failed"},
        BETTER | {"model": "another", "commit": "0" * 40},
        {name: inf for name in MEASURED},
        {name: -inf for name in MEASURED},
        {name: nan for name in MEASURED},
        {"bits_per_dim_stderr": 1e-9},
        {"importance_samples": 10**6},
        {"seed": 9},
        {"epochs": 10**6},
    ],
    ids=lambda cells: " ".join(cells)[:60],
)
def test_an_edited_row_is_outside(cells):
    for environment in (None, {}, {"cpu": "another", "commit": "0" * 40}):
        assert verdict_on(edited(cells), environment).outcome == "outside"


def test_invented_seeds_widen_no_tolerance_beyond_a_fixed_share():
    runs = edited({"bits_per_dim": 1.0, "log_likelihood": -1.0 * 543.4})
    for wild in (1e9, 1e200, inf, nan):
        others = [
            edited({"bits_per_dim": wild, "log_likelihood": -wild}, runs[runs["key"] == key], key)
            for key in RUNS["key"].unique()[1:]
        ]
        invented = pd.concat([runs[runs["key"] == KEY], *others], ignore_index=True)
        assert verdict_on(invented).outcome == "outside"


def test_the_same_machine_and_code_must_give_the_same_whatever_the_commit_is_called():
    runs = edited({"sharpness": RUNS["sharpness"].dropna().iloc[0] + 1e-9})
    for labels in ({}, {"commit": "0" * 40}, {"version": "9"}, {"dirty": None}, {"more": "x"}):
        assert verdict_on(runs, labels).outcome == "outside"
    for other in ({"cpu": "another"}, {"packages": {"torch": "1.0"}}, {"code_sha256": "0" * 64}):
        assert verdict_on(runs, other).outcome == "within"


def diagnosed():
    """AGAIN as this version records it, with diagnostics and a larger error of the bound."""
    record = deepcopy(AGAIN)
    for split in ("train", "test"):
        metrics, new = record["metrics"][split], {"stderr": None, "n": 100, "samples": 5000}
        metrics["bits_per_dim"]["stderr"] *= 9
        metrics["effective_sample_size_median"] = new | {"value": 30.0}
        metrics["effective_sample_size_below_10"] = new | {"value": 0.1}
        metrics["pareto_k_above_threshold"] = new | {"value": 0.4}
        metrics["bound_rise"] = new | {"value": 0.2, "stderr_data": 0.01}
    return record


def test_older_rows_have_no_diagnostics_to_compare_and_newer_ones_have():
    record, older = diagnosed(), RUNS.copy()
    older.loc[older["key"] == KEY, [*DIAGNOSTICS, "bound_rise_stderr"]] = None
    runs = older[older["key"] == KEY]
    assert judge(Cited(KEY, runs, AGAIN["config"], None, None), record, older, False).is_good
    cells = {name: record["metrics"]["test"][name]["value"] for name in DIAGNOSTICS}
    cells |= {"bits_per_dim_stderr": record["metrics"]["test"]["bits_per_dim"]["stderr"]}
    cells |= {"bound_rise_stderr": 0.01}
    for change, outcome in (
        ({}, "identical"),
        ({"effective_sample_size_median": 32.0}, "within"),
        ({"effective_sample_size_median": 300.0}, "outside"),
        ({"bound_rise": 40.0}, "outside"),
        ({"bound_rise_stderr": 0.1}, "outside"),
        ({"pareto_k_above_threshold": 0.9}, "outside"),
        ({"bits_per_dim_stderr": 1e-9}, "outside"),
        ({"bits_per_dim_stderr": nan}, "within"),
    ):
        newer = edited(cells | change)
        rows = newer[(newer["key"] == KEY) & (newer["split"] == "test")]
        found = judge(Cited(KEY, rows, AGAIN["config"], None, None), record, newer, False)
        assert found.outcome == outcome, (change, found)


def test_data_are_the_same_by_the_hashes_that_a_row_has():
    row = lambda images, payload: pd.Series({"data_sha256": images, "payload_sha256": payload})
    assert has_same_data(row("a", "b"), "a", "b")
    assert not has_same_data(row("x", "b"), "a", "b") and not has_same_data(row("a", "x"), "a", "b")
    assert has_same_data(row("b", None), "a", "b") and has_same_data(row("b", "b"), "a", "b")
    assert not has_same_data(row("a", None), "a", "b")


def judged(record, cells, environment=None):
    """The verdict on one row of test with these cells, of a run that is done again as ``record``."""
    runs = edited(cells)
    rows = runs[(runs["key"] == KEY) & (runs["split"] == "test")]
    published = None if environment is None else AGAIN | {"environment": environment}
    return judge(Cited(KEY, rows, AGAIN["config"], published, None), record, runs, False)


def test_an_error_that_is_known_to_one_side_alone_is_not_compared():
    """Another seed moves the count of images with heavy tails across its limit: no mistake by itself."""
    unknown = deepcopy(AGAIN)
    bits = unknown["metrics"]["test"]["bits_per_dim"]
    bits |= {"stderr": None, "stderr_untrusted": bits["stderr"]}
    empty = {"bits_per_dim_stderr": None}
    for record, cells, which in ((AGAIN, empty, "now"), (unknown, {}, None)):
        found = judged(record, cells)
        assert found.outcome == "within", found
        words = f"not compared: test bits_per_dim_stderr, which is only {which} known"
        assert (words in found.reasons) == (which is not None)
        # The number itself does not escape.
        moved = judged(record, cells | {"bits_per_dim": 0.15, "log_likelihood": 0.15 * -543.4})
        assert moved.outcome == "outside" and "tolerance" in moved.reasons[0]
    # A published error is held against the one that is not trusted, if there is one.
    assert judged(unknown, {"bits_per_dim_stderr": 1e-9}).outcome == "outside"
    assert judged(AGAIN, {"bits_per_dim": None}).outcome == "outside"
    # In the same environment nothing may differ, an empty cell included.
    assert judged(AGAIN, empty, AGAIN["environment"]).outcome == "outside"
    del bits["stderr_untrusted"]
    found = judged(unknown, {})
    assert any("bits_per_dim_stderr, which is only published known" in r for r in found.reasons)


def test_the_words_say_what_the_tolerances_are_made_of():
    row = RUNS[RUNS["key"] == KEY].iloc[0]
    alone = RUNS[RUNS["key"] == KEY]
    exactly = "Monte-Carlo error alone, because the weights are the same"
    assert words_on(AGAIN, row, RUNS, True) == exactly
    assert words_on(AGAIN, row, RUNS, False).endswith("row's 2 other published seed(s)")
    assert "no other published seed" in words_on(AGAIN, row, alone, False)
    record = deepcopy(AGAIN)
    bits = record["metrics"]["test"]["bits_per_dim"]
    bits["stderr"] = None
    assert "of a single draw, the standard error over images" in words_on(record, row, RUNS, True)
    bits["stderr_untrusted"] = 1e-5
    assert "†, the jackknife's" in words_on(record, row, RUNS, True)


TYPES = {column.name: column.type for column in runs_columns()}
CELLS = {
    "string": st.sampled_from(["", "another", "0" * 40, "train"]),
    "integer": st.integers(0, 2**40),
    "number": st.floats(width=64),
    "boolean": st.sampled_from([True, False, pd.NA]),
}
# Another sweep's name is what the row is looked up by, and a split must be one.
EDITABLE = sorted(set(TYPES) - {"key", "split", "sweep"})


def others_of(column, split):
    row = RUNS[(RUNS["split"] == split) & (RUNS["key"] == KEY)].iloc[0]
    return values_beside(seeds_beside(row, RUNS), column)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_number_beyond_its_tolerance_is_never_good_whatever_else_is_edited(data):
    column = data.draw(st.sampled_from(MEASURED))
    splits = [name for name in ("test", "train") if column in AGAIN["metrics"][name]]
    split = data.draw(st.sampled_from(splits))
    names = data.draw(st.lists(st.sampled_from(EDITABLE), unique=True, max_size=8))
    cells = {name: data.draw(CELLS[TYPES[name]]) for name in names}
    value = AGAIN["metrics"][split][column]["value"]
    honest = tolerance(AGAIN, split, column, others_of(column, split), False)
    by = data.draw(st.floats(1.001, 1e6)) * data.draw(st.sampled_from([-1, 1]))
    cells[column] = value + by * honest
    environment = data.draw(st.sampled_from([None, {}, {"cpu": "another"}]))
    assert not verdict_on(edited(cells, split=split), environment).is_good


@settings(max_examples=30, deadline=None)
@given(column=st.sampled_from(MEASURED), share=st.floats(-0.99, 0.99))
def test_a_number_inside_its_tolerance_is_good_elsewhere(column, share):
    value = AGAIN["metrics"]["test"][column]["value"]
    honest = tolerance(AGAIN, "test", column, others_of(column, "test"), False)
    runs = edited({column: value + share * honest})
    assert verdict_on(runs, {"cpu": "another"}).is_good


@pytest.mark.parametrize("name", [name for name in FACTS if name not in ("key", "split")])
def test_what_a_row_says_of_its_run_must_be_so(name):
    value = {"string": "another", "integer": 7, "number": 0.125}[TYPES[name]]
    assert verdict_on(edited({name: value}), {"cpu": "another"}).outcome == "outside"


def test_a_run_that_fails_again_is_identical_and_one_that_fails_now_is_outside():
    of_ok = ("decoder", "prior", "parameters", "epochs")
    failed = {name: part for name, part in AGAIN.items() if name not in of_ok}
    failed |= {"status": "failed", "reason": "diverged", "metrics": {}}
    cited = Cited(KEY, RUNS[RUNS["key"] == KEY], {}, None, None)
    assert not judge(cited, failed, RUNS, False).is_good
    measured = (*MEASURED, "bits_per_dim_stderr", "importance_samples", "importance_data")
    measured += ("log_likelihood_population_stderr", "bound_rise_stderr")
    empty = {name: None for name in (*measured, *of_ok)}
    runs = edited(empty | {"status": "failed"}, edited(empty | {"status": "failed"}), split="train")
    cited = replace(cited, rows=runs[runs["key"] == KEY])
    verdict = judge(cited, failed, runs, False)
    assert verdict.outcome == "identical" and verdict.reasons == ("failed: diverged",)
    with_number = edited({"bits_per_dim": 0.1}, runs)
    cited = replace(cited, rows=with_number[with_number["key"] == KEY])
    assert judge(cited, failed, with_number, False).outcome == "outside"
