from hashlib import sha256

import pandas as pd
import pytest

from bench.records.columns import runs_columns
from bench.report.paper_match import paper_match, paper_match_markdown, paper_match_of
from bench.report.published import published, published_value

COLUMNS = {column.name for column in runs_columns()}


def run(model, seed, log_likelihood, active=20.0, status="ok", task="mnist-dynamic", split="test"):
    row = dict.fromkeys(COLUMNS)
    row |= {
        "sweep": "mnist",
        "key": sha256(f"{model}{seed}".encode()).hexdigest()[:16],
        "task": task,
        "model": model,
        "seed": seed,
        "split": split,
    }
    row |= {"status": status, "log_likelihood": log_likelihood, "active_units": active}
    return row | {"importance_samples": 5000, "epochs": 200, "commit": "c"}


def test_every_published_number_can_be_held_against_a_column():
    for entry in published():
        assert entry.column in COLUMNS and entry.how in ("read", "recalled")
        assert entry.tolerance > 0 and entry.split in ("train", "test") and entry.differs
    assert len({(e.sweep, e.task, e.model, e.column, e.split) for e in published()}) == len(
        published()
    )


def test_verdicts():
    rows = [run("gated_vae", seed, value) for seed, value in ((1, -85.0), (2, -85.2), (3, -85.4))]
    rows += [run("gated_vamp_vae", 1, -80.0), run("gated_exemplar_vae", 1, -90.0)]
    rows += [run("iwae_paper_vae", 1, -87.0, active=30.0), run("unknown", 1, 0.0)]
    rows += [run("gated_vae", 5, -70.0) | {"sweep": "mine"}]
    rows += [run("gated_vae", 4, None, None, "failed"), run("gated_vae", 1, -70.0, split="train")]
    table = paper_match(pd.DataFrame(rows)).set_index(["model", "column"])
    expected = {
        ("gated_vae", "log_likelihood"): "match",
        ("gated_vamp_vae", "log_likelihood"): "better",
        ("gated_exemplar_vae", "log_likelihood"): "worse",
        ("iwae_paper_vae", "log_likelihood"): "match",
        ("iwae_paper_vae", "active_units"): "different",
    }
    assert table["verdict"].to_dict() == expected
    own = table.loc[("gated_vae", "log_likelihood")]
    assert own["difference"] == pytest.approx(-85.2 + 84.45) and own["seeds"] == 3


def test_an_infinite_number_is_left_out():
    infinite = [run("gated_vae", 1, float("-inf"))]
    assert paper_match(pd.DataFrame(infinite)).empty
    (row,) = paper_match(pd.DataFrame([*infinite, run("gated_vae", 2, -85.0)])).to_dict("records")
    assert row["ours"] == -85.0 and row["verdict"] == "match"


def test_the_table_for_people_tells_intervals_where_there_are_several_seeds():
    rows = [run("gated_vae", seed, value) for seed, value in ((1, -85.0), (2, -85.4))]
    (line,) = paper_match_markdown(paper_match(pd.DataFrame(rows))).splitlines()[2:]
    assert " | 2 | -85.20 ± 2.54 | -84.45 ± 0.12 | match | " in line  # 12.71 · 0.2828 / √2
    (line,) = paper_match_markdown(paper_match(pd.DataFrame(rows[:1]))).splitlines()[2:]
    assert " | 1 | -85.00 | -84.45 ± 0.12 | match | " in line


def test_what_no_paper_has_writes_nothing(tmp_path):
    (tmp_path / "s").mkdir()
    own, other = tmp_path / "s" / "runs.csv", tmp_path / "t" / "runs.csv"
    other.parent.mkdir()
    mine = pd.DataFrame([run("mine", 1, 0.0)])
    assert paper_match_of(tmp_path, own, mine).empty
    mine.to_csv(own)  # as it was before
    theirs = pd.DataFrame([run("gated_vae", 1, -85.0)])
    assert paper_match_of(tmp_path, own, theirs)["verdict"].tolist() == ["match"]
    theirs.to_csv(other)
    assert paper_match_of(tmp_path, own, mine)["verdict"].tolist() == ["match"]


def test_the_leaderboards_reference_is_in_bits():
    value, source = published_value("mnist", "mnist-dynamic", "gated_vae")
    assert value == pytest.approx(84.45 / (784 * 0.6931471805599453))
    assert source == "Norouzi et al. 2020, table of the repository (read): -84.45 nats"
    assert published_value("mnist-smoke", "mnist-dynamic", "gated_vae") == (None, None)
