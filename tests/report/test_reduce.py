import copy

import pandas as pd
import pytest
from scipy.stats import t

from bench.errors import InputError
from bench.records.columns import added_columns, added_to_leaderboard
from bench.records.consistency import check_same_data
from bench.records.manifest import write_manifest
from bench.records.record import write_record
from bench.records.tables import csv_text, parse_leaderboard, parse_runs, read_runs
from bench.report.pages import pages_with, rewrite_pages
from bench.report.reduce import interval, leaderboard_table, load_sweep, runs_table
from bench.report.tables import latex, markdown, summary
from tests.made_up import record

RECORDS = [
    record("a", 1, 2.0),
    record("a", 2, 2.2),
    record("a", 3, 2.4),
    record("b", 1, 1.0),
    record("b", 2, 1.1, status="failed"),
    record("pixels", 0, 2.1, bound="exact"),
    record("broken", 1, 0.0, status="failed"),
]


def test_interval_is_students():
    mean, low, high = interval([2.0, 2.2, 2.4], False)
    expected = t.interval(0.95, 2, loc=2.2, scale=0.2 / 3**0.5)
    assert (mean, low, high) == pytest.approx((2.2, *expected))
    assert interval([1.0], False) == (1.0, None, None)
    assert interval([1.0], True) == (1.0, 1.0, 1.0)
    assert interval([], False) == (None, None, None)


def test_leaderboard_ranks_inside_a_task_and_counts_failures():
    board = leaderboard_table(RECORDS, "s").set_index("model")
    assert list(board.index) == ["b", "pixels", "a", "broken"]
    assert board["rank"].tolist()[:3] == [1, 2, 3] and pd.isna(board.loc["broken", "rank"])
    assert board.loc["b", ["seeds", "failed"]].tolist() == [1, 1]
    assert board.loc["a", "bits_per_dim_stderr"] == pytest.approx(0.01 / 3**0.5)
    assert board.loc["pixels", "bits_per_dim_low"] == 2.1


def test_what_bounds_nothing_is_in_no_leaderboard():
    records = [*RECORDS, record("degenerate", 1, -3.0, bound="none")]
    assert "degenerate" not in set(leaderboard_table(records, "s")["model"])
    assert "degenerate" in set(runs_table(records, "s")["model"])


def test_failed_runs_stay_in_with_empty_numbers():
    runs = runs_table(RECORDS, "s")
    assert len(runs) == 2 * len(RECORDS)
    failed = runs[runs["status"] == "failed"]
    assert len(failed) == 4 and failed["bits_per_dim"].isna().all()
    assert "time" not in " ".join(runs.columns) and "seconds" not in " ".join(runs.columns)


def test_columns_are_the_published_ones():
    fixed = (
        "key,sweep,task,model,decoder,prior,seed,split,status,dimensions,levels,n,parameters,epochs,"
        "importance_samples,bits_per_dim,bits_per_dim_stderr,log_likelihood,elbo,reconstruction,kl,"
        "kl_analytic,mutual_information,marginal_kl,log_n,inference_gap,active_units,sharpness"
    ).split(",")
    columns = list(runs_table(RECORDS, "s").columns)
    assert columns[: len(fixed)] == fixed
    assert columns[-6:-1] == ["commit", "data_sha256", "config_sha256", "dirty", "device"]
    assert columns[-1] == "plugin"
    board = list(leaderboard_table(RECORDS, "s").columns)
    assert board[:8] == (
        "rank,task,model,seeds,failed,bits_per_dim,bits_per_dim_low,bits_per_dim_high".split(",")
    )
    assert board[-6:-2] == ["bound", "reference", "reference_source", "plugin"]
    assert board[-2:] == ["commit", "data_sha256"]


def test_a_row_says_which_device_it_was_computed_on(tmp_path):
    gpus = {"a": {"gpu": "NVIDIA H100 80GB HBM3"}, "b": {"gpu": None}, "c": {}}
    records = [
        record(name, seed, 2.0) | {"environment": gpu}
        for seed, (name, gpu) in enumerate(gpus.items(), start=1)
    ]
    for made in records:
        write_record(tmp_path / "runs", made)
    write_manifest(tmp_path, [made["key"] for made in records])
    (tmp_path / "runs.csv").write_text(csv_text(runs_table(load_sweep(tmp_path), "s")))
    table = read_runs(tmp_path / "runs.csv").drop_duplicates("key")
    devices = table.set_index("model")["device"]
    assert devices["a"] == "NVIDIA H100 80GB HBM3" and devices["b"] == "cpu"
    assert pd.isna(devices["c"])
    # Of a table without the column nothing is known.
    table.drop(columns="device").to_csv(tmp_path / "runs.csv", index=False)
    assert read_runs(tmp_path / "runs.csv")["device"].isna().all()


def test_values_survive_the_csv_to_the_last_digit(tmp_path):
    records = copy.deepcopy(RECORDS)
    records[0]["metrics"]["test"]["bits_per_dim"]["value"] = 0.1 + 0.2
    (tmp_path / "runs.csv").write_text(csv_text(runs_table(records, "s")))
    back = pd.read_csv(tmp_path / "runs.csv", float_precision="round_trip")
    assert back.loc[1, "bits_per_dim"] == 0.1 + 0.2


def test_a_sweeps_records_come_in_its_own_order_and_no_others(tmp_path):
    for made in RECORDS:
        write_record(tmp_path / "runs", made)
    keys = [RECORDS[i]["key"] for i in (5, 0, 3)]
    write_manifest(tmp_path, [*keys, "f" * 16])
    assert [r["key"] for r in load_sweep(tmp_path)] == keys
    with pytest.raises(InputError, match="no sweep in"):
        load_sweep(tmp_path / "elsewhere")


def test_the_readmes_leaderboard_is_the_csvs(tmp_path):
    board = leaderboard_table(RECORDS, "s")
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- leaderboard:s -->\nof before\n<!-- /leaderboard:s -->\nafter\n")
    (tmp_path / "docs").mkdir()
    page, other = tmp_path / "docs" / "page.md", tmp_path / "docs" / "other.md"
    page.write_text(
        "<!-- summary:s --><!-- /summary:s -->\n<!-- leaderboard:t --><!-- /leaderboard:t -->"
    )
    other.write_text("no marks")
    tables = {("leaderboard", "s"): markdown(board), ("summary", "s"): summary(board)}
    for _ in range(2):
        rewrite_pages(pages_with(readme), tables)
        text = readme.read_text()
        assert text.startswith("before\n") and text.endswith("after\n") and "of before" not in text
        assert markdown(board) in text and "| (1) | – | b | 1 (1 failed) | 1.000&#42; |" in text
        assert page.read_text().startswith(
            f"<!-- summary:s -->\n{summary(board)}\n<!-- /summary:s -->"
        )
        assert page.read_text().endswith("<!-- leaderboard:t --><!-- /leaderboard:t -->")
        assert other.read_text() == "no marks"


DIAGNOSED = {
    "effective_sample_size_median": {"value": 2.5, "stderr": None, "n": 300, "samples": 100},
    "effective_sample_size_below_10": {"value": 0.9, "stderr": None, "n": 300, "samples": 100},
    "pareto_k_above_threshold": {"value": 0.8, "stderr": None, "n": 300, "samples": 100},
    "bound_rise": {"value": 0.4, "stderr": None, "stderr_data": 0.05, "n": 300, "samples": 100},
}


def diagnosed(model, seed, bits, stderr):
    made = copy.deepcopy(record(model, seed, bits))
    made["data"]["images_sha256"] = "e" * 64
    for metrics in made["metrics"].values():
        metrics |= copy.deepcopy(DIAGNOSED)
        metrics["bits_per_dim"]["stderr"] = stderr
    return made


def undiagnosed(model, seed, bits):
    made = copy.deepcopy(record(model, seed, bits))
    for metrics in made["metrics"].values():
        for name in DIAGNOSED:
            metrics.pop(name, None)
    return made


def test_diagnostics_are_columns_and_older_records_have_empty_cells():
    records = [diagnosed("new", 1, 2.0, 0.01), undiagnosed("old", 1, 2.1)]
    runs = runs_table(records, "s").set_index(["model", "split"])
    new, old = runs.loc["new", "test"], runs.loc["old", "test"]
    values = {name: part["value"] for name, part in DIAGNOSED.items()} | {"bound_rise_stderr": 0.05}
    assert new[list(values)].to_dict() == values and old[list(values)].isna().all()
    assert new["data_sha256"] == "e" * 64 != new["payload_sha256"]
    assert old["data_sha256"] == old["payload_sha256"] == new["payload_sha256"]
    board = leaderboard_table([*records, diagnosed("new", 2, 2.0, 0.01)], "s").set_index("model")
    assert board.loc["new", list(DIAGNOSED)].to_dict() == {name: values[name] for name in DIAGNOSED}
    assert pd.isna(board.loc["old", "bound_rise"])


def test_a_row_says_how_many_of_its_seeds_are_diagnosed():
    """Diagnostics are means over those seeds alone, and the errors of the others are older."""
    records = [diagnosed("some", seed, 2.0, 0.01) for seed in range(2)]
    records += [undiagnosed("some", 2, 2.0), record("some", 3, 2.0, status="failed")]
    records += [diagnosed("all", 1, 2.1, 0.01), record("exact", 0, 2.2, bound="exact")]
    records += [record("gone", 1, 0.0, status="failed")]
    board = leaderboard_table(records, "s").set_index("model")
    counts = board["diagnosed_seeds"]
    assert counts.drop("exact").to_dict() == {"some": 2, "all": 1, "gone": 0}
    assert pd.isna(counts["exact"]) and board.loc["some", "seeds"] == 3
    assert board.loc["some", "bound_rise"] == 0.4
    text = markdown(board.reset_index())
    assert "| 2.000‡&#42; |" in text and text.count("‡") == 2
    assert r"2.000$^\ddagger$*" in latex(board.reset_index())


def test_a_row_has_its_commits_and_the_hash_of_its_images():
    records = [record("a", seed, 2.0) for seed in range(4)]
    for made, commit in zip(records, ("c" * 40, "b" * 40, None, "c" * 40)):
        made["environment"] = {"commit": commit}
    failed = record("a", 5, 0.0, status="failed") | {"environment": {"commit": "d" * 40}}
    (row,) = leaderboard_table([*records, failed], "s").to_dict("records")
    assert row["commit"] == f"{'b' * 40} {'c' * 40}" and row["importance_data"] == 300
    assert row["data_sha256"] == runs_table(records, "s")["data_sha256"].iloc[0]
    (row,) = leaderboard_table([failed], "s").to_dict("records")
    assert row["commit"] is None and row["data_sha256"] is None and pd.isna(row["importance_data"])


def test_a_mark_stands_where_the_error_of_the_bound_cannot_be_known():
    records = [diagnosed("known", 1, 2.0, 0.01), diagnosed("unknown", 1, 2.5, None)]
    board = leaderboard_table([*records, record("pixels", 0, 2.1, bound="exact")], "s")
    text = markdown(board)
    assert "| 2.500† |" in text and text.count("†") == 2 and "| 2.000 |" in text
    assert "K is below 50, or a few images" in text
    assert r"2.500$^\dagger$" in latex(board) and latex(board).count("dagger") == 2
    known = leaderboard_table(records[:1], "s")
    assert "†" not in markdown(known) and "dagger" not in latex(known)


def test_tables_of_older_versions_are_read_with_empty_cells():
    older = added_columns()
    assert not added_to_leaderboard() & older
    runs = runs_table(RECORDS[:3], "s").drop(columns=[*older & {*runs_table(RECORDS, "s").columns}])
    read = parse_runs(csv_text(runs).encode(), "runs.csv")
    assert read[["bound_rise", "payload_sha256", "dirty"]].isna().all(axis=None)
    board = leaderboard_table(RECORDS[:3], "s")
    old = board.drop(columns=[*(older | added_to_leaderboard()) & {*board.columns}])
    read = parse_leaderboard(csv_text(old).encode(), "leaderboard.csv")
    assert read["effective_sample_size_median_low"].isna().all()
    with pytest.raises(InputError, match="no column elbo"):
        parse_leaderboard(csv_text(old.drop(columns="elbo")).encode(), "leaderboard.csv")


def test_runs_of_one_task_saw_the_same_images_where_that_is_recorded():
    own, other = diagnosed("a", 1, 2.0, 0.1), diagnosed("a", 2, 2.0, 0.1)
    check_same_data([own, record("b", 1, 2.0), other])
    other["data"]["images_sha256"] = "d" * 64
    with pytest.raises(InputError, match="images_sha256"):
        check_same_data([record("b", 1, 2.0), own, record("c", 1, 2.0), other])
