"""What the figures of a sweep show is what its records say."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from bench.report.page.charts import ON_TERMS, TERMS
from bench.report.plots import elbo_decomposition, figures_of, training_curves
from bench.report.shown import PARTS as SHOWN_PARTS
from bench.report.style import LOOKS, apart
from tests.made_up import estimate, record

PARTS = {"reconstruction": -20.0, "mutual_information": 5.0, "marginal_kl": 3.0, "log_n": 5.7}


def made(model: str, seed: int, shift: float) -> dict:
    one = record(model, seed, 2.0)
    test = {name: estimate(value + shift) for name, value in PARTS.items()}
    one["metrics"] = {"train": test, "test": test}
    one["history"] = [
        {"epoch": epoch, "train_elbo": -30.0 + epoch + shift, "validation_elbo": -31.0 + epoch}
        for epoch in (1, 2, 3)
    ]
    return one


@pytest.fixture
def records():
    yield [made("a", 1, 0.0), made("a", 2, 1.0), made("b", 1, -2.0)]
    plt.close("all")


def test_the_bars_of_the_decomposition_are_the_means_over_seeds(records):
    figure = elbo_decomposition(records, "t")
    [axis] = figure.axes
    # Of a: shifts of 0 and 1; of b: of -2. Reconstruction is drawn with its sign turned.
    drawn = [[bar.get_width() for bar in bars] for bars in axis.containers]
    np.testing.assert_allclose(drawn, [[5.5, 3.0], [3.5, 1.0], [19.5, 22.0]])
    starts = [[bar.get_x() for bar in bars] for bars in axis.containers]
    np.testing.assert_allclose(starts, [[0.0, 0.0], [5.5, 3.0], [9.0, 4.0]])
    # The values stand at the bars, and no legend over them.
    sums = ["5.5 + 3.5 + 19.5 = 28.5", "3.0 + 1.0 + 22.0 = 26.0"]
    assert [text.get_text() for text in axis.texts] == sums
    assert axis.get_legend() is None and len(figure.legends) == 1


def test_a_flow_has_a_bar_that_is_not_divided(records):
    flow = made("flow", 1, 0.0)
    test = flow["metrics"]["test"]
    del test["marginal_kl"]
    test["elbo"] = estimate(-24.5)
    [axis] = elbo_decomposition([*records, flow], "t").axes
    assert axis.texts[-1].get_text() == "24.5" and len(axis.containers) == 4
    assert [bar.get_width() for bar in axis.containers[-1]] == [24.5]


def test_the_curves_are_the_histories_of_every_seed(records):
    figure = training_curves(records, "t")
    first, second = figure.axes
    drawn = [tuple(line.get_ydata()) for line in first.lines if len(line.get_ydata()) == 3]
    bounds = [
        tuple(point[name] for point in one["history"])
        for one in records[:2]
        for name in ("train_elbo", "validation_elbo")
    ]
    assert drawn == bounds and len(second.lines) == 3
    # Told apart by more than their colour, and the legend outside of the axes.
    assert len({line.get_linestyle() for line in first.lines[:2]}) == 2
    assert first.get_legend() is None and len(figure.legends) == 1


@pytest.mark.parametrize("form, start", [("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_figures_are_files_of_the_wanted_format(records, form, start):
    first = figures_of(records[:1], form)
    assert set(first) == {f"digits-17-{name}.{form}" for name in ("curves", "decomposition")}
    for name, content in first.items():
        assert content.startswith(start)
        assert content == figures_of(records[:1], form)[name]


def test_labels_at_the_ends_of_lines_do_not_overlap():
    heights = [0.1, 0.2, 0.1, 0.1]
    places = apart([0.5, 0.5, 0.52, 0.9], heights)
    gaps = [b - a for a, b in zip(places, places[1:])]
    assert all(gap >= (h + g) / 2 - 1e-6 for gap, h, g in zip(gaps, heights, heights[1:]))
    assert places[3] == pytest.approx(0.9, abs=0.05)
    assert apart([0.1, 0.5], [0.1, 0.1]) == [0.1, 0.5]
    # Inside the axes, where all fit.
    assert apart([0.98, 1.0], [0.2, 0.2]) == pytest.approx([0.7, 0.9])
    assert apart([0.0, 0.0], [0.2, 0.2]) == pytest.approx([0.1, 0.3])


def contrast(one, other):
    light = [
        sum(
            w * (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4)
            for w, v in zip((0.2126, 0.7152, 0.0722), to_rgb(color))
        )
        for color in (one, other)
    ]
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_colours_are_seen_on_paper_and_numbers_on_bars():
    for color in [look.color for look in LOOKS] + [color for _, color in SHOWN_PARTS.values()]:
        assert contrast(color, "white") >= 2.5, color
    # The page writes numbers on its bars.
    for bar, text in zip(TERMS.values(), ON_TERMS):
        assert contrast(bar, text) >= 4.5, bar
    assert len({(look.dashes, look.marker) for look in LOOKS}) == len(LOOKS)
