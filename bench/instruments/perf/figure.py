"""The figure of `bench perf`: the ratio of every comparison."""

from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from bench.report.png import figure_png  # noqa: E402
from bench.report.style import BLUE, RED, STYLE  # noqa: E402


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the ratios, their intervals and their targets on a logarithmic axis."""
    with plt.rc_context(STYLE):
        figure = drawn(table)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(figure_png(figure, dpi=120))
    plt.close(figure)


def drawn(table: pd.DataFrame) -> Figure:
    figure, axis = plt.subplots(figsize=(9.5, 0.27 * len(table) + 1.2), layout="constrained")
    places = range(len(table))[::-1]
    for place, row in zip(places, table.itertuples()):
        color, mark = (RED, "X") if row.met is False else (BLUE, "o")
        axis.plot([row.low, row.high], [place, place], color=color, linewidth=2)
        axis.plot(row.ratio, place, mark, color=color, markersize=5)
        if not pd.isna(row.target):
            axis.plot(row.target, place, "|", color="black", markersize=9)
    axis.axvline(1, color="#bbbbbb", linewidth=0.8, zorder=0)
    axis.set_yticks(
        list(places), [f"{row.what}  vs  {row.against}" for row in table.itertuples()], fontsize=7
    )
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_xlabel(
        "time of the other / ours, median and 95 % interval\n"
        "stroke: the ratio that is wanted; cross: not reached"
    )
    return figure
