from math import hypot, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.report.equivalence import (
    MOST_SEEDS,
    difference_interval,
    half_width,
    seeds_to_decide,
    verdict_of,
)


def test_intervals_computed_by_hand():
    # Mean -85.2, standard deviation 0.2; t of 2 degrees of freedom 4.302653.
    half = 4.302653 * 0.2 / sqrt(3)
    values = [-85.0, -85.2, -85.4]
    assert difference_interval(values, -84.2, 0.0) == pytest.approx((-1.0, -1 - half, -1 + half))
    wide = hypot(half, 1.96 * 0.12)
    assert difference_interval(values, -84.2, 0.12) == pytest.approx((-1.0, -1 - wide, -1 + wide))
    assert difference_interval([-85.0], -84.2, 0.12) == (pytest.approx(-0.8), None, None)


@pytest.mark.parametrize(
    "low, high, verdict",
    [
        (-0.9, 0.4, "equivalent within δ"),
        (-1.0, 1.0, "equivalent within δ"),
        (0.2, 0.9, "equivalent within δ"),  # not 0, and yet within
        (-1.2, -0.9, "not decided"),
        (-3.0, 3.0, "not decided"),
        (0.99, 1.01, "not decided"),
        (-2.0, -1.0, "not decided"),
        (-2.0, -1.01, "different"),
        (1.01, 1.02, "different"),
        (None, None, "not decided"),
    ],
)
def test_verdicts(low, high, verdict):
    assert verdict_of(low, high, 1.0) == verdict


def test_seeds_that_decide_computed_by_hand():
    # 12.706 · 0.2 / √2 = 1.797 and 4.303 · 0.2 / √3 = 0.497: the third seed keeps within 0.5.
    assert seeds_to_decide(-0.5, 0.2, 0.0, 1.0) == 3
    assert seeds_to_decide(-1.5001, 0.2, 0.0, 1.0) == 3
    # 2.776 · 0.3 / √5 = 0.372, 2.571 · 0.3 / √6 = 0.315, 2.447 · 0.3 / √7 = 0.277.
    assert seeds_to_decide(0.7, 0.3, 0.0, 1.0) == 7
    assert seeds_to_decide(0.0, 0.0, 0.0, 1.0) == 2
    assert seeds_to_decide(1.0, 0.1, 0.0, 1.0) is None  # exactly on the margin
    assert seeds_to_decide(0.9, 0.0, 0.1, 1.0) is None  # 1.96 · 0.1 reaches across it


numbers = st.floats(-3, 3)
spreads = st.floats(0, 3)
errors = st.floats(0, 1)
margins = st.floats(0.01, 2)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(numbers, min_size=1, max_size=6), error=errors, margin=margins)
def test_nothing_is_equivalent_whose_interval_reaches_beyond_the_margin(values, error, margin):
    _, low, high = difference_interval(values, 0.5, error)
    verdict = verdict_of(low, high, margin)
    if verdict == "not decided":
        assert low is None or low < -margin or high > margin
        return
    assert low is not None and high is not None
    assert (verdict == "equivalent within δ") == (max(abs(low), abs(high)) <= margin)
    assert (verdict == "different") == (min(abs(low), abs(high)) > margin and low * high > 0)


@settings(max_examples=40, deadline=None)
@given(difference=numbers, spread=spreads, more=st.floats(0, 2), error=errors, margin=margins)
def test_more_spread_never_needs_fewer_seeds(difference, spread, more, error, margin):
    few = seeds_to_decide(difference, spread, error, margin)
    many = seeds_to_decide(difference, spread + more, error, margin)
    assert (few or MOST_SEEDS + 1) <= (many or MOST_SEEDS + 1)
    if few is not None:
        decided = [
            verdict_of(difference - half, difference + half, margin) != "not decided"
            for half in (half_width(n, spread, error) for n in (few, max(few - 1, 2)))
        ]
        assert decided[0] and (few == 2 or not decided[1])
