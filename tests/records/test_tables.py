"""Rows of runs.csv held against the records of their runs."""

from pathlib import Path

import pandas as pd
import pytest

from bench.records.record import read_record, record_path
from bench.records.tables import altered_column, read_runs

MNIST = Path(__file__).parents[2] / "results" / "mnist"
RUNS = read_runs(MNIST / "runs.csv")
KEY = RUNS.loc[RUNS["model"] == "realnvp", "key"].iloc[0]
ROW = RUNS[(RUNS["key"] == KEY) & (RUNS["split"] == "test")].iloc[0].astype(object)
RECORD = read_record(record_path(MNIST / "runs", KEY))


def test_a_published_row_is_that_of_its_record():
    assert altered_column(ROW, RECORD) is None


@pytest.mark.parametrize(
    "column, value",
    [
        ("bits_per_dim", 1.0),
        ("bits_per_dim", pd.NA),
        ("commit", None),
        ("epochs", pd.NA),
        ("kl", 3.0),  # a flow has none
    ],
)
def test_a_cell_that_was_changed_emptied_or_filled_is_named(column, value):
    assert altered_column(ROW.copy().where(ROW.index != column, value), RECORD) == column


def test_older_rows_have_empty_cells_in_columns_that_came_later():
    older = ROW.copy()
    older["payload_sha256"] = older["bound_rise"] = None
    assert altered_column(older, RECORD) is None
