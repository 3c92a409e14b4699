"""The figure of a rate–distortion curve, beside trained models."""

from collections.abc import Sequence
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.inspection.rate_distortion import CurvePoint, model_point
from bench.inspection.trained_points import MOST_BETAS, MOST_MODELS, TrainedPoint
from bench.report.style import BLUE, CYAN, GREEN, GREY, PURPLE, RED, YELLOW

# Points with a larger distortion than this multiple of that at β = 1 are not shown.
SHOWN_DISTORTION = 3.0
# The shape of a mark tells the model, its colour β.
SHAPES = ("o", "s", "^", "D", "v", "P", "<", ">", "X", "*", "p", "h")
COLORS = (RED, YELLOW, GREEN, PURPLE, CYAN)
assert len(SHAPES) == MOST_MODELS and len(COLORS) == MOST_BETAS
# Letters of a model's name on a line, and inches of a line.
LINE, LINE_HEIGHT = 70, 0.15


def largest_shown(curve: Sequence[CurvePoint]) -> float:
    """Return the largest distortion of a curve that is drawn, in nats."""
    model = model_point(curve)
    largest = SHOWN_DISTORTION * model.distortion.value
    return largest if largest > 0 else float("inf")


def rate_distortion_figure(
    curve: Sequence[CurvePoint], encoder: TrainedPoint, others: Sequence[TrainedPoint], title: str
) -> Figure:
    """Draw rate against distortion.

    Args:
        curve: One prior and decoder at every β, with their errors.
        encoder: The same model with its encoder.
        others: Models that were trained by themselves.
        title: The title.
    """
    names = [fill(model, LINE) for model in sorted({point.model for point in others})]
    betas = sorted({point.beta for point in others})
    lines = 4 + len(betas) + sum(name.count("\n") + 1 for name in names)
    figure = Figure(figsize=(5.0, 3.2 + LINE_HEIGHT * lines), layout="constrained")
    axis = figure.subplots()
    handles = draw_curve(axis, curve)
    [diamond] = axis.plot(
        encoder.distortion.value, encoder.rate.value, "D", color=BLUE, markerfacecolor="none",
        label=f"this model with its encoder, trained with β = {encoder.beta:g}",
    )  # fmt: skip
    handles.append(diamond)
    shapes = dict(zip(sorted({point.model for point in others}), SHAPES))
    colors = dict(zip(betas, COLORS))
    for point in others:
        shape, color = shapes[point.model], colors[point.beta]
        [mark] = axis.plot(point.distortion.value, point.rate.value, shape, color=color)
        mark.set_markerfacecolor("none")
    handles += [
        Line2D(
            [], [], marker=shape, color=GREY, linestyle="none", markerfacecolor="none", label=name
        )
        for name, shape in zip(names, SHAPES)
    ]
    handles += [
        Line2D(
            [], [], marker="o", color=color, linestyle="none", label=f"trained with β = {beta:g}"
        )
        for beta, color in colors.items()
    ]
    handles.append(draw_sum(axis, curve))
    axis.set(
        title=title,
        xlabel="distortion −log p(y|z) (nats per image)",
        ylabel="rate KL(q ‖ p) (nats per image)",
    )
    axis.set_ylim(bottom=0)
    figure.legend(handles=handles, loc="outside lower left", borderaxespad=0.0)
    return figure


def draw_curve(axis: Axes, curve: Sequence[CurvePoint]) -> list[Line2D]:
    """Draw the curve and its point β = 1; return what the legend shows of them."""
    model = model_point(curve)
    shown = [point for point in curve if point.distortion.value <= largest_shown(curve)]
    axis.errorbar(
        [point.distortion.value for point in shown],
        [point.rate.value for point in shown],
        yerr=[2 * (point.rate.stderr or 0.0) for point in shown],
        color=BLUE,
        linewidth=1.3,
        elinewidth=0.6,
    )
    name = "this prior and decoder at every β, annealed (the rate is an upper bound)"
    line = Line2D([], [], color=BLUE, label=name)
    dot = axis.plot(
        model.distortion.value, model.rate.value, "o", color=BLUE, label="the same at β = 1"
    )
    return [line, *dot]


def draw_sum(axis: Axes, curve: Sequence[CurvePoint]) -> Line2D:
    """Draw where rate and distortion have the sum that they have at β = 1, inside the axes' limits."""
    model = model_point(curve)
    total = model.rate.value + model.distortion.value
    lowest, highest = axis.get_xlim()
    top = axis.get_ylim()[1]
    label = f"rate + distortion = {total:.1f} nats, as at β = 1"
    [line] = axis.plot(
        [lowest, highest], [total - lowest, total - highest], color=GREY, zorder=0, label=label
    )
    axis.set(xlim=(lowest, highest), ylim=(0, top))
    return line
