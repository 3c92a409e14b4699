import pandas as pd
import pytest
from frictionless import Package

from bench.records.columns import leaderboard_columns, runs_columns
from bench.records.manifest import write_manifest
from bench.records.record import write_record
from bench.report.package import dictionary
from bench.report.reduce import leaderboard_table, runs_table
from bench.report.report import report
from tests.made_up import record
from tests.report.test_paper_match import run
from tests.report.test_reduce import RECORDS


@pytest.fixture
def sweep(tmp_path):
    directory = tmp_path / "results" / "made-up"
    for made in RECORDS:
        write_record(directory / "runs", made)
    write_manifest(directory, [made["key"] for made in RECORDS])
    report(directory)
    return directory


def test_the_tables_are_what_the_data_package_says(sweep):
    outcome = Package(str(sweep / "datapackage.json")).validate()
    assert outcome.valid, outcome.flatten(["rowNumber", "fieldName", "note"])


def test_a_table_that_is_not_fails(sweep):
    table = pd.read_csv(sweep / "leaderboard.csv", dtype=str)
    table.loc[0, "seeds"] = "many"
    table.to_csv(sweep / "leaderboard.csv", index=False)
    assert not Package(str(sweep / "datapackage.json")).validate().valid


def test_every_column_of_every_table_is_described():
    described = lambda columns: [column.name for column in columns]
    assert list(runs_table(RECORDS, "s").columns) == described(runs_columns())
    assert list(leaderboard_table(RECORDS, "s").columns) == described(leaderboard_columns())
    assert all(column.meaning for column in [*runs_columns(), *leaderboard_columns()])
    for column in runs_columns():
        assert f"| `{column.name}` | {column.unit} |" in dictionary()


def test_somebody_elses_readme_and_numbers_of_other_sweeps_are_left_alone(sweep):
    readme, match = sweep.parent / "README.md", sweep.parent / "paper_match.csv"
    assert readme.read_text() == dictionary() and not match.exists()
    readme.write_text("mine\n")
    match.write_text("made with other versions\n")
    (sweep.parent / "mnist").mkdir()
    rows = pd.DataFrame([run("gated_vae", 1, -85.0)])
    rows.to_csv(sweep.parent / "mnist" / "runs.csv", index=False)
    report(sweep)
    assert readme.read_text() == "mine\n" and match.read_text() == "made with other versions\n"


def test_failed_runs_leave_integers_whole(tmp_path):
    records = [record("a", 1, 2.0), record("b", 1, 2.0, status="failed")]
    assert str(runs_table(records, "s")["epochs"].dtype) == "Int64"
