import pytest
from scipy.stats import ttest_rel

from bench.report.intervals import paired_difference
from bench.report.reduce import leaderboard_table
from bench.report.tables import latex, markdown
from tests.made_up import record

BEST = [record("best", seed, bits) for seed, bits in enumerate((1.0, 1.3, 1.1, 1.2))]
OTHER = [record("other", seed, bits) for seed, bits in enumerate((1.05, 1.34, 1.16, 1.25))]


def test_the_difference_is_scipys_paired_interval():
    values = lambda group: [r["metrics"]["test"]["bits_per_dim"]["value"] for r in group]
    theirs = ttest_rel(values(OTHER), values(BEST)).confidence_interval(0.95)
    mean, low, high = paired_difference(OTHER, BEST)
    assert (low, high) == pytest.approx((theirs.low, theirs.high))
    assert mean == pytest.approx(0.05)


def test_pairing_by_seed_tells_apart_what_intervals_of_each_do_not():
    board = leaderboard_table([*OTHER, *BEST], "s").set_index("model")
    first, second = board.loc["best"], board.loc["other"]
    assert second["bits_per_dim_low"] < first["bits_per_dim_high"]
    assert second["bits_per_dim_to_best_low"] > 0
    assert first[["bits_per_dim_to_best", "bits_per_dim_to_best_low"]].isna().all()
    assert "| +0.050 ± " in markdown(board.reset_index())


def test_seeds_of_one_alone_are_left_out():
    assert paired_difference(OTHER[1:], BEST[:3]) == paired_difference(OTHER[1:3], BEST[1:3])
    alone = paired_difference(OTHER[:1], BEST)
    assert alone == (pytest.approx(0.05), None, None)
    assert paired_difference(OTHER[:1], BEST[1:]) == (None, None, None)


def test_an_exact_model_is_held_against_every_seed():
    exact = [record("table", 0, 1.5, bound="exact")]
    mean, low, high = paired_difference(exact, BEST)
    assert mean == pytest.approx(0.35) and low < 0.35 < high
    back = paired_difference(BEST, exact)
    assert back == (pytest.approx(-mean), pytest.approx(-high), pytest.approx(-low))
    assert (
        paired_difference(exact, [record("other table", 0, 1.4, bound="exact")])
        == (pytest.approx(0.1),) * 3
    )
    failed = [record("gone", 1, 0.0, status="failed")]
    assert paired_difference(failed, BEST) == (None, None, None)


def test_latex_escapes_what_it_must():
    board = leaderboard_table([record(r"a_b & 100% {x} \input{y}", 1, 1.0)], "s")
    text = latex(board)
    assert r"a\_b \& 100\% \{x\} \textbackslash{}input\{y\}" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    body = text.split(r"\midrule")[2].splitlines()[1]
    columns = text.split("{tabular}{")[1].split("}")[0]
    assert body.count(" & ") == len(columns) - 1


def test_an_interval_has_decimals_enough_not_to_look_like_none():
    narrow = [record("narrow", seed, 0.15 + 1e-4 * seed) for seed in range(3)]
    wide = [record("wide", seed, 0.2 + 0.01 * seed) for seed in range(3)]
    text = markdown(leaderboard_table([*narrow, *wide], "s"))
    assert "| 0.1501 ± 0.0002 |" in text and "| 0.2100 ± 0.0248 | +0.060 ± 0.025 |" in text
    assert "| 0.210 ± 0.025 |" in markdown(leaderboard_table(wide, "s"))
