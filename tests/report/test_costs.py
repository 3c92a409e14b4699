"""timings.csv: what is recorded of the cost of a run, and nothing that is not."""

import pandas as pd
import pytest

from bench.records.columns import COST_COLUMNS, timings_columns
from bench.records.manifest import write_manifest
from bench.records.record import write_record
from bench.report.costs import timings_table
from bench.report.reduce import load_sweep
from tests.made_up import record

START = 1_795_000_000.0


def timed(seed, first, last, **environment):
    made = record("m", seed, 2.0)
    seconds = {"fit_seconds": 1.0, "total_seconds": last - first}
    made["timing"] = seconds | {"started_at": START + first, "ended_at": START + last}
    return made | {"environment": {"gpu": None, "cpu": "A CPU", "threads": 2} | environment}


@pytest.fixture
def table(tmp_path):
    """Return timings.csv of records, which pass through files as those of a sweep do."""

    def of(*records):
        for made in records:
            write_record(tmp_path / "runs", made)
        write_manifest(tmp_path, [made["key"] for made in records])
        return timings_table(load_sweep(tmp_path))

    return of


def test_core_hours_count_threads_processes_and_a_runs_part_of_a_stack(table):
    trainer = {"beta": 1.0, "devices": 3}
    found = table(
        timed(1, 0, 3600),
        timed(2, 0, 3600) | {"config": {"trainer": trainer}},
        timed(3, 0, 3600, stacked=4, gpu="NVIDIA H100 80GB HBM3"),
    )
    assert found["core_hours"].tolist() == [2.0, 6.0, 0.5]
    assert found["processor"].tolist() == ["A CPU", "A CPU", "NVIDIA H100 80GB HBM3"]
    assert found["stacked"].tolist() == [1, 1, 4]
    assert found["started"][0] == "2026-11-18T11:06:40Z"
    assert found["ended"][0] == "2026-11-18T12:06:40Z"


def test_runs_that_were_in_progress_at_the_same_time_are_counted(table):
    found = table(timed(1, 0, 10), timed(2, 5, 20), timed(3, 15, 30), timed(4, 40, 50))
    assert found["overlapping_runs"].tolist() == [1, 2, 1, 0]


def test_what_a_record_does_not_hold_is_an_empty_cell(table):
    old = record("m", 5, 2.0)
    measured = timed(1, 0, 10)
    measured["timing"] |= {"cpu_energy_joules": 12.5}
    found = table(measured, old).set_index("seed")
    assert found.loc[1, "cpu_energy_joules"] == 12.5 and found.loc[1, "overlapping_runs"] == 0
    empty = ["core_hours", "processor", "cpu_energy_joules", "gpu_energy_joules"]
    empty += ["started", "ended", "overlapping_runs"]
    assert found.loc[5, empty].isna().all() and found.loc[5, "total_seconds"] == 1.0


def test_every_column_is_described_and_times_of_day_are_no_durations(table):
    found = table(timed(1, 0, 10))
    columns = {column.name: column for column in timings_columns(found)}
    assert list(columns) == list(found.columns)
    assert [name for name, column in columns.items() if column.unit == "s"] == [
        "fit_seconds",
        "total_seconds",
    ]
    assert list(found.columns)[-len(COST_COLUMNS) :] == [column.name for column in COST_COLUMNS]
    assert isinstance(found["overlapping_runs"].dtype, pd.Int64Dtype)
