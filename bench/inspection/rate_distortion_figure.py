"""The figure of a rate–distortion curve, beside models that were trained with other β."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bench.inspection.rate_distortion import CurvePoint, TrainedPoint
from bench.report.png import figure_png
from bench.report.style import BLUE, GREY, RED

# Points with a larger distortion than this multiple of that at β = 1 are not shown.
SHOWN_DISTORTION = 3.0


def rate_distortion_figure(
    curve: Sequence[CurvePoint], trained: Sequence[TrainedPoint], title: str
) -> Figure:
    """Draw rate against distortion, the point β = 1, and the points of trained models with their β.

    The curve is one model with every β; a trained point has a network of its own.
    """
    figure = Figure(figsize=(5.0, 3.4), layout="constrained")
    axis = figure.subplots()
    model = next(point for point in curve if point.beta == 1)
    shown = [
        point
        for point in curve
        if point.distortion.value <= SHOWN_DISTORTION * abs(model.distortion.value)
        or model.distortion.value <= 0
    ]
    axis.errorbar(
        [point.distortion.value for point in shown],
        [point.rate.value for point in shown],
        yerr=[2 * (point.rate.stderr or 0.0) for point in shown],
        color=BLUE,
        linewidth=1.3,
        elinewidth=0.6,
        label="this prior and decoder, every β (upper bound of the rate)",
    )
    axis.plot(model.distortion.value, model.rate.value, "o", color=BLUE, label="β = 1")
    for beta in sorted({point.beta for point in trained}):
        own = [point for point in trained if point.beta == beta]
        axis.plot(
            [point.distortion for point in own],
            [point.rate for point in own],
            "x" if beta == 1 else "+",
            color=RED,
            label=f"trained with β = {beta:g}, each its own network",
        )
    total = model.rate.value + model.distortion.value
    lowest, highest = axis.get_xlim()
    axis.plot([lowest, highest], [total - lowest, total - highest], color=GREY, zorder=0)
    axis.set(
        title=title,
        xlabel="distortion −log p(y|z) (nats per image)",
        ylabel="rate KL(q ‖ p) (nats per image)",
        xlim=(lowest, highest),
    )
    axis.set_ylim(bottom=0)
    axis.legend()
    return figure


def write_figure(
    path: Path, curve: Sequence[CurvePoint], trained: Sequence[TrainedPoint], title: str
) -> None:
    """Write the figure as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(figure_png(rate_distortion_figure(curve, trained, title), dpi=110))
