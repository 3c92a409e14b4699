"""Comparisons of several models: against scipy, by their coverage, and as they are printed."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy.stats import dunnett as scipys_dunnett
from scipy.stats import multivariate_t, t

from bench.report.comparisons import comparisons, dunnett, variances
from bench.report.reduce import leaderboard_table
from bench.report.tables import in_latex, latex, markdown
from tests.made_up import record

DELTA = ["bits_per_dim_to_best", "bits_per_dim_to_best_low", "bits_per_dim_to_best_high"]


def test_critical_values_are_dunnetts():
    # Dunnett 1955, table 1a: five comparisons, 12 degrees of freedom.
    assert dunnett(3, ((3, 5),), 12) == pytest.approx(2.50, abs=0.005)
    for degrees in (2, 4, 30):
        assert dunnett(3, ((3, 1),), degrees) == pytest.approx(t.ppf(0.95, degrees), rel=2e-3)
    for control, others, degrees in ((3, (2, 1), 3), (1, (3, 3), 4), (2, (3, 3, 1), 7)):
        loading = np.array([(1 / control / (1 / control + 1 / n)) ** 0.5 for n in others])
        shape = np.outer(loading, loading) + np.diag(1 - loading**2)
        critical = dunnett(control, tuple(Counter(others).items()), degrees)
        distribution = multivariate_t(np.zeros(len(others)), shape, degrees)
        inside = distribution.cdf(np.full(len(others), critical), random_state=1)
        assert inside == pytest.approx(0.95, abs=1e-3)


def test_intervals_of_equal_variances_are_scipys():
    """With one variance in every sample the upper ends are the limits of Dunnett's test."""
    spread = np.array([-1.0, 0.0, 1.0])
    first, *others = (2.0 + spread, 7.0 + spread, 9.0 + spread)
    test = scipys_dunnett(*others, control=first, alternative="less", rng=1)
    theirs = test.confidence_interval(0.95).high
    found = comparisons([first, *others], [False] * 3)
    assert [own.high for own in found[1:]] == pytest.approx(list(theirs), abs=0.02)
    assert [own.low for own in found[1:]] == [0, 0] and found[0].high == 0
    assert [own.difference for own in found] == [-5, 5, 7]


def test_a_models_variance_is_the_pooled_one_or_its_own_where_that_is_larger():
    """Of variances 9, 1 and 0 with 2, 2 and 1 degrees of freedom the pooled one is 20/5 = 4."""
    values = [[4.0, 7.0, 10.0], [1.0, 2.0, 3.0], [5.0, 5.0], [6.0], [8.0]]
    found, degrees = variances(values, [False, False, False, False, True])
    assert found.tolist() == pytest.approx([9 / 3, 4 / 3, 4 / 2, 4 / 1, 0.0]) and degrees == 5


# Standard deviations of the six models, and their true means.
SPREADS = ((1, 1, 1, 1, 1, 1), (3, 1, 1, 1, 1, 1), (1, 1, 1, 1, 1, 3), (3, 2.6, 2.2, 1.8, 1.4, 1))
MEANS = ((0, 0, 0, 0, 0, 0), (0, 4, 4, 4, 4, 4), (0, 0, 1, 2, 4, 8))


def test_all_intervals_of_a_task_hold_together():
    """Three seeds, six models, standard deviations that differ by a factor up to 3."""
    repeats, rng = 150, np.random.default_rng(1)
    for spreads in SPREADS:
        for means in map(np.array, MEANS):
            best = np.array([np.delete(means, i).min() for i in range(6)])
            lowest = 1 + (means[:, None] > means).sum(1)
            highest = (means[:, None] >= means).sum(1)
            held = ranks_held = 0
            for _ in range(repeats):
                noise = rng.normal(size=(6, 3)) * np.array(spreads)[:, None]
                found = comparisons(means[:, None] + noise, [False] * 6)
                held += all(own.low <= d <= own.high for own, d in zip(found, means - best))
                ranks_held += all(
                    own.rank_low <= low and high <= own.rank_high
                    for own, low, high in zip(found, lowest, highest)
                )
            # 0.93 less three standard errors of the simulation.
            assert min(held, ranks_held) / repeats > 0.93 - 3 * (0.93 * 0.07 / repeats) ** 0.5


def test_one_sided_limits_against_the_best_hold_where_nothing_else_helps():
    """Where the best is far from the others, all its comparisons must hold at once: the hard case."""
    rng = np.random.default_rng(2)
    for spread in (1.0, 3.0):
        means, held = np.array([0.0, 50, 50, 50, 50, 50]), 0
        for _ in range(500):
            noise = rng.normal(size=(6, 3)) * np.array([spread, 1, 1, 1, 1, 1])[:, None]
            found = comparisons(means[:, None] + noise, [False] * 6)
            held += all(own.high >= 50 for own in found[1:])
        assert held / 500 > 0.93 - 3 * (0.93 * 0.07 / 500) ** 0.5


def test_the_winners_luck_is_paid_for():
    """Among equal models the first is called best in at most 5 % of the tasks, and ranks stay open."""
    rng = np.random.default_rng(3)
    found = [comparisons(rng.normal(size=(6, 3)), [False] * 6) for _ in range(300)]
    assert np.mean([any(own.high == 0 for own in task) for task in found]) < 0.08
    assert np.mean([all(own.rank_low == 1 for own in task) for task in found]) > 0.92


def test_a_row_with_one_seed_has_no_interval_and_may_stand_anywhere():
    """One value says nothing of a variance: that of the others would cover too rarely."""
    values = [[1.0, 1.02, 1.04], [2.0, 2.02, 2.04], [3.0], [1.5]]
    found = comparisons(values, [False, False, False, True])
    assert found[2] == (pytest.approx(1.98), None, None, None, None)
    others = comparisons([values[0], values[1], values[3]], [False, False, True])
    for own, other in zip([found[0], found[1], found[3]], others):
        assert own[:3] == other[:3]
        assert (own.rank_low, own.rank_high) == (other.rank_low, other.rank_high + 1)
    # Whose best other has one seed has no interval: its end would be that of another difference.
    values[2] = [0.5]
    behind = comparisons(values, [False, False, False, True])
    assert [own.low for own in behind] == [None] * 4
    assert [own.difference for own in behind] == pytest.approx([0.52, 1.52, -0.52, 1.0])
    assert [own.rank_high for own in behind] == [2, 4, None, 3]


def test_models_without_seeds_to_compare_and_exact_ones():
    alone = comparisons([[1.0], [2.0]], [False, False])
    assert alone[1] == (1.0, None, None, None, None)
    both = comparisons([[1.0], [2.0]], [True, True])
    assert both == [(-1, -1, 0, 1, 1), (1, 0, 1, 2, 2)]
    assert comparisons([[1.0, 1.1]], [False]) == [(None, None, None, 1, 1)]
    assert comparisons([[1.0]], [False]) == [(None,) * 5]
    one = comparisons([[1.0, 1.1], [2.0]], [False, False])
    assert one[0][1:] == (None, None, 1, 2)


def with_samples(made, samples):
    made["metrics"]["test"]["log_likelihood"]["samples"] = samples
    return made


CLEAR = [record("a", seed, 1.0 + 0.01 * seed) for seed in range(3)] + [
    record("b", seed, 2.0 + 0.01 * seed) for seed in range(3)
]


def test_only_equal_numbers_of_samples_are_ranked():
    more = [with_samples(record("more", seed, 0.9 + 0.01 * seed), 5000) for seed in range(3)]
    mixed = [with_samples(record("mixed", seed, 1.5), 100 * (1 + seed)) for seed in range(2)]
    fewer = [with_samples(record("fewer", seed, 0.8), 10) for seed in range(3)]
    exact = [record("pixels", 0, 1.5, bound="exact")]
    gone = [record("gone", 0, 1.0, status="failed")]
    board = leaderboard_table([*gone, *mixed, *fewer, *more, *exact, *CLEAR], "s")
    assert list(board["model"]) == ["a", "pixels", "b", "more", "fewer", "mixed", "gone"]
    assert list(board["rank"])[:3] == [1, 2, 3] and board["rank"][3:].isna().all()
    assert board.loc[3:, [*DELTA, "rank_low", "rank_high"]].isna().all().all()
    own = board.set_index("model")
    assert own.loc["more", "importance_samples"] == 5000
    assert pd.isna(own.loc["mixed", "importance_samples"])
    alone = leaderboard_table([*CLEAR, *exact], "s").set_index("model")
    pd.testing.assert_frame_equal(own.loc[["a", "pixels", "b"], DELTA], alone[DELTA])
    text = markdown(board)
    assert "(K = 5000)" in text and "(several K) |" in text and "no rank" in text


def test_of_equally_common_numbers_of_samples_the_largest_is_ranked():
    few = [with_samples(record("few", 1, 1.0), 10), with_samples(record("many", 1, 2.0), 100)]
    board = leaderboard_table(few, "s")
    assert list(board["model"]) == ["many", "few"] and board["rank"].tolist() == [1, pd.NA]


def with_data(made, data):
    for estimate in made["metrics"]["test"].values():
        estimate["n"] = data
    return made


def test_only_equal_numbers_of_images_are_ranked():
    fewer = [with_data(record("fewer", seed, 0.8 + 0.01 * seed), 100) for seed in range(3)]
    mixed = [with_data(record("mixed", seed, 0.9), 100 * (1 + seed)) for seed in range(2)]
    exact = [with_samples(with_data(record("pixels", 0, 0.5, bound="exact"), 100), 0)]
    board = leaderboard_table([*exact, *fewer, *mixed, *CLEAR], "s")
    assert list(board["model"]) == ["a", "b", "fewer", "pixels", "mixed"]
    assert board["rank"].tolist() == [1, 2, pd.NA, pd.NA, pd.NA]
    assert board["importance_data"].tolist() == [300, 300, 100, 100, pd.NA]
    text = markdown(board)
    assert "| 0.810 ± 0.025&#42; |" not in text and "± 0.025 (100 images) |" in text
    assert "0.900 (several numbers of images) |" in text
    assert "At equal K" not in text


def test_where_rows_of_another_number_of_samples_would_stand_is_said():
    """By monotonicity: L_10 that is above an L_100 would be so at K = 100."""
    made = [with_samples(record("fewer", seed, 1.5 + 0.01 * seed), 10) for seed in range(3)]
    made += [with_samples(record("worse", seed, 3.0), 10) for seed in range(3)]
    made += [with_samples(record("more", 1, 1.8), 1000), record("pixels", 0, 2.5, bound="exact")]
    text = markdown(leaderboard_table([*made, *CLEAR], "s"))
    # Of `worse` nothing is known: its L_100 may be above all others.
    assert "by their means: more after a and before pixels; fewer before b." in text


def test_differences_are_printed_in_words():
    close = [record("c", seed, 1.001 + 0.01 * seed) for seed in range(3)]
    board = leaderboard_table([*CLEAR, *close], "s")
    text = markdown(board)
    assert text.startswith(
        "**digits-17**\n\n|  | ranks | model | seeds | bits/dim | Δ to best other "
    )
    low, high = board.loc[1, DELTA[1:]]
    assert f"| 2 | 1–2 | c | 3 | 1.011 ± 0.025 | open: +0.001 ({low:.3f} to +{high:.3f}) |" in text
    high = board.loc[2, DELTA[2]]
    assert f"| 3 | 3 | b | 3 | 2.010 ± 0.025 | behind by 1.000 (at most {high:.3f}) |" in text
    low = leaderboard_table(CLEAR, "s").loc[0, DELTA[1]]
    assert f"| best by 1.000 (at most {-low:.3f}) |" in markdown(leaderboard_table(CLEAR, "s"))
    assert f"open: +0.001 ($-${-board.loc[1, DELTA[1]]:.3f} to" in latex(board)
    assert r"$\Delta$ to best" in latex(board)


def test_the_largest_difference_in_brackets_is_rarely_exceeded():
    """What "best by … (at most …)" and "behind by … (at most …)" say holds in 95 % of tasks."""
    rng, means = np.random.default_rng(4), np.array([0.0, 5, 5, 50])
    best = np.array([np.delete(means, i).min() for i in range(4)])
    wrong = 0
    for _ in range(200):
        for own, true in zip(
            comparisons(means[:, None] + rng.normal(size=(4, 3)), [False] * 4), means - best
        ):
            if (own.high == 0 and not 0 <= -true <= -own.low) or (
                own.low == 0 and not 0 <= true <= own.high
            ):
                wrong += 1
                break
    assert wrong / 200 < 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_a_rank_without_an_error_stands_in_brackets():
    text = markdown(leaderboard_table([*CLEAR, record("c", 1, 1.5)], "s"))
    assert "| 1 | 1–2 | a | 3 | 1.010 ± 0.025 | -0.490 |" in text
    assert "| (2) | – | c | 1 | 1.500 | +0.490 |" in text and "in brackets is an order" in text
    assert "in brackets is an order" not in markdown(leaderboard_table(CLEAR, "s"))


def test_rows_with_failed_seeds_say_so():
    failed = record("b", 9, 0.0, status="failed")
    board = leaderboard_table([*CLEAR, failed], "s").set_index("model")
    assert board["survivors_only"].tolist() == [False, True]
    text = markdown(board.reset_index())
    assert "| 2.010 ± 0.025&#42; |" in text and "| 1.010 ± 0.025 |" in text
    assert "* Some seeds failed" in text.replace("&#42;", "*")
    assert "Some seeds failed" not in markdown(leaderboard_table(CLEAR, "s"))


def test_the_error_for_the_population_is_shown_and_empty_where_no_run_has_it():
    board = leaderboard_table(CLEAR, "s")
    assert board["log_likelihood_population_stderr"].tolist() == pytest.approx([0.1, 0.1])
    assert "would vary by 0.10 nats" in markdown(board)
    assert "would vary by 0.10 nats" in latex(board)
    older = [record(model, 1, 1.0) for model in ("a", "b")]
    del older[0]["metrics"]["test"]["log_likelihood"]["stderr_data"]
    board = leaderboard_table(older, "s").set_index("model")["log_likelihood_population_stderr"]
    assert pd.isna(board["a"]) and board["b"] == 0.1


def test_the_population_note_is_of_trained_models():
    """The uniform density is the same for every image, so that its error is 0."""
    references = [record(name, 0, 2.0, bound="exact") for name in ("uniform", "independent_pixels")]
    for made in references:
        made["metrics"]["test"]["log_likelihood"]["stderr_data"] = 0.0
    board = leaderboard_table([*CLEAR, *references], "s")
    assert "of trained models would vary by 0.10 nats" in markdown(board)
    assert "standard error" not in markdown(leaderboard_table(references, "s"))


def test_latex_has_minus_signs_before_numbers_alone():
    assert in_latex("-1.5 (-0.2 to 3) mnist-256 1–2") == "$-$1.5 ($-$0.2 to 3) mnist-256 1--2"


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
    assert "| 0.1501 ± 0.0002 |" in text and "| 0.2100 ± 0.0248 | behind by 0.060 (at most " in text
    assert "| 0.210 ± 0.025 |" in markdown(leaderboard_table(wide, "s"))
