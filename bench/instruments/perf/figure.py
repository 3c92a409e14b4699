"""The figure of `bench perf`: the ratio of every comparison."""

from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from bench.report.png import figure_png  # noqa: E402


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the ratios, their intervals and their targets on a logarithmic axis."""
    figure, axis = plt.subplots(figsize=(9.5, 0.27 * len(table) + 1.2), layout="constrained")
    places = range(len(table))[::-1]
    for place, row in zip(places, table.itertuples()):
        color = "#b3162c" if row.met is False else "#4477aa"
        axis.plot([row.low, row.high], [place, place], color=color, linewidth=2)
        axis.plot(row.ratio, place, "o", color=color, markersize=4)
        if not pd.isna(row.target):
            axis.plot(row.target, place, "|", color="black", markersize=9)
    axis.axvline(1, color="#bbbbbb", linewidth=0.8, zorder=0)
    axis.set_yticks(
        list(places), [f"{row.what}  vs  {row.against}" for row in table.itertuples()], fontsize=7
    )
    axis.set_xscale("log")
    axis.set_xlabel(
        "time of the other / ours, median and 95 % interval\n"
        "black: the ratio that is wanted; red: not reached"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(figure_png(figure, dpi=120))
    plt.close(figure)
