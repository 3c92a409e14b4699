"""Figures as small PNGs."""

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from bench.report.png import figure_png, of_few_colors


def pixels_of(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_a_figure_loses_no_colour_that_one_can_see_and_equal_figures_are_equal_files():
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    for number, color in enumerate(("#4477aa", "#ee6677", "#ccbb44", "#228833")):
        axes.plot([0, 1], [number, 2 - number], color=color, label=f"series {number}")
    axes.legend()
    plain = io.BytesIO()
    figure.savefig(plain, dpi=100)
    small = figure_png(figure, 100)
    difference = abs(pixels_of(small) - pixels_of(plain.getvalue()))
    assert difference.max() <= 16 and len(small) < len(plain.getvalue()) / 2
    assert figure_png(figure, 100) == small


def test_grey_and_few_colours_stay_as_they_are():
    generator = np.random.default_rng(0)
    grey = generator.integers(0, 256, (20, 30, 1)).repeat(3, 2).astype(np.uint8)
    assert of_few_colors(grey).mode == "L"
    few = generator.integers(0, 256, (200, 3)).astype(np.uint8)[
        generator.integers(0, 200, (20, 30))
    ]
    for pixels in (grey, few):
        assert (np.asarray(of_few_colors(pixels).convert("RGB")) == pixels).all()
