"""Colours, panels and means over seeds of the claims' figures."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ItemT = TypeVar("ItemT", bound=Mapping[str, object])
# A figure and its caption.
Drawn = tuple[Figure, str]

BLUE, RED, YELLOW, GREY, GREEN = "#4477aa", "#ee6677", "#ccbb44", "#bbbbbb", "#228833"
CYCLE = (BLUE, RED, GREEN, YELLOW, "#66ccee", "#aa3377")


def panels(count: int, width: float = 3.4, height: float = 3.3) -> tuple[Figure, list[Axes]]:
    """Return a figure with up to three panels in a row, and its axes in order."""
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns + 0.4, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[count:]:
        axis.axis("off")
    return figure, list(axes.flat[:count])


def grouped(items: Iterable[ItemT], *names: str) -> dict[tuple[str, ...], list[ItemT]]:
    """Return items by their texts under ``names``, in order of first appearance."""
    groups: dict[tuple[str, ...], list[ItemT]] = {}
    for item in items:
        groups.setdefault(tuple(str(item[name]) for name in names), []).append(item)
    return groups


def mean_and_spread(curves: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over seeds and the half width of their range, from each seed's values."""
    values = np.array(curves)
    return values.mean(0), (values.max(0) - values.min(0)) / 2
