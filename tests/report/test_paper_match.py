from datetime import timedelta
from hashlib import sha256

import pandas as pd
import pytest

from bench.records.columns import runs_columns
from bench.report.paper_match import paper_match, paper_match_markdown, paper_match_of
from bench.report.published import (
    before_runs,
    draws_stderr,
    published,
    published_file,
    published_value,
)

COLUMNS = {column.name for column in runs_columns()}
# The code of these committed runs is older than the margins.
COMMIT = "f1e7e96a7ff26cc0c8f7bbb26d1cff4c2b205b37"


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
    return row | {"importance_samples": 5000, "epochs": 200, "commit": COMMIT}


def seeds(model, *values):
    return [run(model, seed, value) for seed, value in enumerate(values, 1)]


def test_every_published_number_can_be_held_against_a_column():
    for entry in published():
        assert entry.column in COLUMNS and entry.how in ("read", "transcribed", "recalled")
        assert entry.split in ("train", "test") and entry.differs
        assert entry.reference_fixed.utcoffset() == timedelta(0)
    assert len({(e.sweep, e.task, e.model, e.column, e.split) for e in published()}) == len(
        published()
    )
    for other in published_file()["context"]:
        assert set(other) == {"task", "model", "value", "unit", "source", "how"}


def test_a_margin_is_at_most_half_of_the_effect_that_the_table_is_about():
    for entry in published():
        if entry.margin is None:
            assert entry.not_comparable and entry.margin_fixed is None
            continue
        assert 0 < entry.margin <= entry.effect / 2 and entry.effect_of
        assert entry.margin_fixed >= entry.reference_fixed
        assert entry.not_comparable or entry.reason.startswith(("tested", "not tested: "))


def test_verdicts():
    rows = seeds("gated_vae", -84.9, -85.0, -85.1)  # -0.55 ± 0.34: within 1
    rows += seeds("gated_vamp_vae", -80.0, -80.1)  # 2.38 ± 0.65
    rows += seeds("gated_exemplar_vae", -90.0, -82.0)  # -3.91 ± 50.8
    rows += [run("iwae_paper_vae", 1, -87.0, active=30.0), run("unknown", 1, 0.0)]
    rows += [run("gated_vae", 5, -70.0) | {"sweep": "mine"}]
    rows += [run("gated_vae", 4, None, None, "failed"), run("gated_vae", 1, -70.0, split="train")]
    rows += [run("gated_vae", 1, -1.0, task="mnist-256") | {"bits_per_dim": 1.39}]
    table = paper_match(pd.DataFrame(rows)).set_index(["task", "model", "column"])
    expected = {
        ("mnist-dynamic", "gated_vae", "log_likelihood"): "equivalent within δ",
        ("mnist-dynamic", "gated_vamp_vae", "log_likelihood"): "different",
        ("mnist-dynamic", "gated_exemplar_vae", "log_likelihood"): "not decided",
        ("mnist-dynamic", "iwae_paper_vae", "log_likelihood"): "not decided",
        ("mnist-dynamic", "iwae_paper_vae", "active_units"): "not decided",
        ("mnist-256", "gated_vae", "bits_per_dim"): "not comparable",
    }
    assert table["verdict"].to_dict() == expected
    own = table.loc[("mnist-dynamic", "gated_vae", "log_likelihood")]
    assert own["difference"] == pytest.approx(-0.55) and own["seeds"] == 3
    # The draw of the test images is one in all our seeds and another one in theirs.
    half = ((4.302653 * 0.1) ** 2 / 3 + 1.96**2 * (0.12**2 + 2 * 0.06**2)) ** 0.5
    assert own["difference_high"] == pytest.approx(-0.55 + half)
    needed = table["seeds_to_decide"]
    assert own["draws_stderr"] == pytest.approx(2**0.5 * 0.06)
    assert table["draws_stderr"].notna().tolist() == [True] * 4 + [False] * 2
    assert needed.notna().tolist() == [False, False, True, False, False, False]
    # With t · 5.657 / √n and 1.96 · 0.18: 2.93 for 17 seeds and 2.84 for 18; 2.91 decide.
    assert needed.iloc[2] == 18


def test_only_likelihoods_of_dynamic_test_images_have_an_error_of_their_draw():
    one = draws_stderr("fashion-dynamic", "log_likelihood", "test")
    assert one == pytest.approx(2**0.5 * 0.094)
    for other in (
        ("fashion-dynamic", "log_likelihood", "train"),
        ("fashion-dynamic", "active_units", "test"),
        ("fashion-256", "log_likelihood", "test"),
        ("mnist-static", "log_likelihood", "test"),  # a draw, but not measured
    ):
        assert draws_stderr(*other) is None


def test_a_row_says_what_was_fixed_before_its_runs():
    # COMMIT's code is older than the margins, which are of 28 November.
    table = paper_match(pd.DataFrame(seeds("gated_vae", -85.0)))
    assert table["reference_before_run"].tolist() == ["yes"]
    assert table["margin_before_run"].tolist() == ["no"]
    unknown = [run("gated_vae", 1, -85.0) | {"commit": name} for name in ("a", None)]
    for row in unknown:
        other = run("gated_vae", 2, -85.0) | {"commit": COMMIT}
        table = paper_match(pd.DataFrame([row, other]))
        assert table["margin_before_run"].iloc[0] == (
            "no" if row["commit"] is None else "not known"
        )
    text = paper_match_markdown(paper_match(pd.DataFrame(unknown[1:])))
    assert "Fixed before the runs: a: both not known." in text


def test_what_is_fixed_between_two_runs_was_not_before_them():
    times = published_file()["run_commits"]
    first, last = min(times, key=times.get), max(times, key=times.get)
    assert times[first] < times[last]
    assert before_runs(times[first], [first, last]) == "yes"
    assert before_runs(times[last], [last]) == "yes"
    assert before_runs(times[last], [first, last]) == "no"


def test_bounds_of_other_samples_are_compared_where_they_hardly_rise():
    def verdict(**more):
        rows = [row | more for row in seeds("gated_vae", -84.4, -84.5, -84.6)]
        return paper_match(pd.DataFrame(rows)).iloc[0][["verdict", "reason"]].tolist()

    assert verdict()[0] == "equivalent within δ"
    assert verdict(importance_samples=0)[0] == "equivalent within δ"
    assert verdict(importance_samples=10_000)[0] == "not comparable"
    unknown, why = verdict(importance_samples=1000)
    assert unknown == "not comparable" and "L_1000 against L_5000; how much" in why
    assert verdict(importance_samples=1000, bound_rise=0.03)[0] == "equivalent within δ"
    steep, why = verdict(importance_samples=1000, bound_rise=0.04)  # three doublings: 0.12 > 0.1
    assert steep == "not comparable" and "up to 0.12 nats lie between" in why


def test_an_infinite_number_is_left_out():
    infinite = [run("gated_vae", 1, float("-inf"))]
    assert paper_match(pd.DataFrame(infinite)).empty
    (row,) = paper_match(pd.DataFrame([*infinite, run("gated_vae", 2, -85.0)])).to_dict("records")
    assert row["ours"] == -85.0 and row["seeds"] == 1 and row["verdict"] == "not decided"


@pytest.mark.parametrize(
    "values, cells",
    [
        (
            (-84.9, -85.3),
            "-85.10 ± 2.54 | -84.45 ± 0.12 | -0.65 [-3.21, 1.91] | 1.00 | "
            "not decided; 11 seeds would at this mean and spread",
        ),
        ((-85.0,), "-85.00 | -84.45 ± 0.12 | -0.55 | 1.00 | not decided: one seed"),
        (
            (-85.17, -85.13),
            "-0.70 [-1.08, -0.32] | 1.00 | not decided; 3 seeds would at this mean and spread",
        ),
        (
            (-85.4, -85.6),
            "-1.05 [-2.35, 0.25] | 1.00 | "
            "not decided; no number of seeds would at this mean and spread",
        ),
        ((-85.0, -85.0), "-0.55 [-0.84, -0.26] | 1.00 | equivalent within δ, below"),
        ((-84.4, -84.4), "0.05 [-0.24, 0.34] | 1.00 | equivalent within δ"),
        ((-83.0, -83.0), "1.45 [1.16, 1.74] | 1.00 | different, above"),
    ],
)
def test_the_table_for_people(values, cells):
    table = paper_match(pd.DataFrame(seeds("gated_vae", *values)))
    line, _, sources = paper_match_markdown(table).splitlines()[2:]
    assert f" {cells} | 1a |" in line
    assert sources.startswith("Sources: 1: ")
    assert "Fixed before the runs: a: reference yes, δ no." in sources


def test_what_no_paper_has_writes_nothing(tmp_path):
    (tmp_path / "s").mkdir()
    own, other = tmp_path / "s" / "runs.csv", tmp_path / "t" / "runs.csv"
    other.parent.mkdir()
    mine = pd.DataFrame([run("mine", 1, 0.0)])
    assert paper_match_of(tmp_path, own, mine).empty
    mine.to_csv(own)  # as it was before
    theirs = pd.DataFrame([run("gated_vae", 1, -85.0)])
    assert paper_match_of(tmp_path, own, theirs)["verdict"].tolist() == ["not decided"]
    theirs.to_csv(other)
    assert paper_match_of(tmp_path, own, mine)["verdict"].tolist() == ["not decided"]


def test_the_leaderboards_reference_is_in_bits():
    value, source = published_value("mnist", "mnist-dynamic", "gated_vae")
    assert value == pytest.approx(84.45 / (784 * 0.6931471805599453))
    assert source == "Norouzi et al. 2020, table of the repository (read): -84.45 nats"
    assert published_value("mnist-smoke", "mnist-dynamic", "gated_vae") == (None, None)
