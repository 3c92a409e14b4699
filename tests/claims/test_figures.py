"""Figures of the claims: every series is seen, named, and under no legend."""

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text

from bench.claims.figures import draw_all, half_steps, ladder
from bench.claims.gap_figures import inference_gaps
from bench.claims.history_figures import alternating, degeneracy
from bench.claims.latent_figures import blur
from bench.claims.outcome import CLAIMS_WITH_RECORDS
from bench.errors import InputError
from bench.report.style import STYLE
from tests.made_up import estimate, record

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def style():
    with matplotlib.rc_context(STYLE):
        yield


def by_turns(model, epochs, seed=1):
    made = record(model, seed, 2.0)
    bounds = [-30 + 8 * (1 - 0.8**epoch) for epoch in range(1, epochs + 1)]
    made["history"] = [
        {"epoch": epoch, "train_elbo": bound + 1, "validation_elbo": bound}
        for epoch, bound in enumerate(bounds, 1)
    ]
    made["config"] = {"trainer": {"batch_size": 10}}
    return made


def texts_of(axis):
    return [text.get_text() for text in axis.texts]


def test_a_run_that_is_the_beginning_of_another_is_seen_beside_it():
    records = [by_turns(f"vae encoder_steps=1 max_epochs={epochs}", epochs) for epochs in (6, 12)]
    figure, _ = alternating(records)
    [axis] = figure.axes
    short, long = (
        next(line for line in axis.lines if len(line.get_xdata()) == epochs) for epochs in (6, 12)
    )
    np.testing.assert_array_equal(short.get_ydata(), long.get_ydata()[:6])  # one covers the other
    assert short.get_linewidth() > 2 * long.get_linewidth()
    assert short.get_color() != long.get_color()
    # A mark and a name for each, with the options that differ; the rest is in the title.
    assert sorted(texts_of(axis)) == ["■ 12 epochs", "● 6 epochs"]
    assert axis.get_title() == "digits-17: vae by turns of 1 step"
    assert not figure.legends and axis.get_legend() is None


def test_lines_have_names_at_their_ends_and_differ_without_colour():
    curves = [
        {"figure": "ladder", "task": "t", "model": model, "seed": 1, "x": [1, 10], "y": [low, low + 1], "error": [0, 0], "dimensions": 64}
        for model, low in (("a", -90.0), ("b", -90.01), ("c", -70.0))
    ]  # fmt: skip
    figure, _ = ladder(curves)
    [axis] = figure.axes
    assert texts_of(axis) == ["b", "a", "c"] and axis.get_legend() is None
    lines = [line for line in axis.lines if len(line.get_xdata()) == 2]
    assert len({line.get_marker() for line in lines}) == 3
    figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in axis.texts), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 1 for low, high in zip(boxes, boxes[1:]))
    assert all(box.x1 <= figure.bbox.x1 + 1 for box in boxes)


def ladder_curve(model, start):
    bounds = [start, start + 1, start + 2, start + 2.5]
    return {"figure": "ladder", "task": "t", "model": model, "seed": 1, "x": [1, 10, 100, 1000], "y": bounds, "error": [0] * 4, "dimensions": 64}  # fmt: skip


def test_more_models_than_looks_are_drawn_in_two_panels_with_leaders_that_cross_no_name():
    models = [f"vae prior=P{n}" for n in range(5)] + [f"realnvp layers={n}" for n in range(3)]
    figure, _ = ladder([ladder_curve(model, -90 - n) for n, model in enumerate(models)])
    vaes, flows = figure.axes
    assert [axis.get_title() for axis in figure.axes] == ["t, VAEs: vae", "t, flows: realnvp"]
    assert sorted(texts_of(vaes)) == [f"prior=P{n}" for n in range(5)] and len(texts_of(flows)) == 3
    figure.draw_without_rendering()
    for axis in figure.axes:
        assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "10", "100", "1000"]
        # Of the names alone: an annotation's extent has its leader in it.
        boxes = [Text.get_window_extent(text) for text in axis.texts]
        edges = {round(box.x0) for box in boxes}
        ends = [text.arrow_patch.get_tightbbox().x1 for text in axis.texts]
        assert len(edges) == 1 and max(ends) <= min(edges) + 1
        inside = axis.get_window_extent()
        assert all(inside.y0 - 1 <= box.y0 and box.y1 <= inside.y1 + 1 for box in boxes)


def test_the_numbers_of_narrow_gaps_stand_beside_their_bars_and_apart():
    made = [
        {"figure": "gaps", "task": "t", "model": "m", "seed": 1, "posterior": name, "values": {"approximation_gap": one, "amortization_gap": two}, "errors": {}}
        for name, one, two in (("Narrow", 0.01, 0.02), ("Wide", 0.6, 0.3), ("Below", 0.1, -0.2))
    ]  # fmt: skip
    figure, _ = inference_gaps(made)
    [axis] = figure.axes
    figure.draw_without_rendering()
    assert "−0.20 ± 0.00" in texts_of(axis)
    boxes = [Text.get_window_extent(text) for text in axis.texts]
    bars = [patch.get_window_extent() for patch in axis.patches]
    pairs = [(box, other) for n, box in enumerate(boxes) for other in [*boxes[:n], *bars]]
    assert not any(box.overlaps(other) for box, other in pairs)


def test_the_line_that_no_mass_function_crosses_is_named_inside():
    figure, _ = degeneracy([by_turns("vae dequantization=none", 6)])
    [axis] = figure.axes
    assert "0: no mass function\ngoes below" in texts_of(axis)
    assert axis.get_ylim()[0] < 0


def test_the_figure_of_blur_says_what_decoder_and_mismatch_cost():
    records = []
    for n in range(4):
        for seed in (1, 2):
            made = record(f"vae width={n}", seed, 2.0)
            values = {"marginal_kl": n + 1, "sharpness": 0.4, "sharpness_aggregate": 0.5, "sharpness_reconstruction": 0.48}  # fmt: skip
            made["metrics"]["test"] |= {k: estimate(v + seed / 100) for k, v in values.items()}
            records.append(made)
    figure, caption = blur(records)
    [axis] = figure.axes
    assert {"lost by\nthe decoder:\n0.48", "lost by\nmismatch:\n0.10", "data"} <= set(
        texts_of(axis)
    )
    assert axis.get_title().startswith("digits-17: 8 VAEs\nSpearman's ρ = ")
    assert "red by the mismatch" in caption


def test_figures_of_em_are_files_of_the_wanted_format(tmp_path):
    curve = {"figure": "em", "task": "t", "model": "m", "seed": 1, "x": [1, 2], "y": [0.0, 1.0], "limit": 1.5}  # fmt: skip
    figure, _ = half_steps([curve])
    assert "maximum in closed form" in texts_of(figure.axes[0])
    _, shown = draw_all({claim: [] for claim in CLAIMS_WITH_RECORDS}, [curve], tmp_path, "svg")
    [(path, _)] = shown[4]
    assert path.name == "claim-04-em.svg" and path.read_text().startswith("<?xml")


def test_another_format_is_refused(tmp_path):
    from bench.claims.figure_files import main, write_figures

    with pytest.raises(InputError, match="'gif' is no format; there are png, pdf, svg"):
        write_figures("default", tmp_path, "gif")
    assert main(["default", str(tmp_path), "pdf"]) == 2
