"""Panels, names of lines and means over seeds of the claims' figures."""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.style import COLUMN, LOOKS, End, direct_labels

ItemT = TypeVar("ItemT", bound=Mapping[str, object])
# A figure and its caption.
Drawn = tuple[Figure, str]

# Characters in a line of a panel's title.
TITLE = 34


def panels(
    count: int, width: float = COLUMN, height: float = 2.3, columns: int = 2
) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels in a row, and its axes in order."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[count:]:
        axis.axis("off")
    return figure, list(axes.flat[:count])


def shared_words(names: Iterable[str]) -> list[str]:
    """Return the words that all names have."""
    lists = [name.split() for name in names]
    return [word for word in lists[0] if all(word in own for own in lists)] if lists else []


def labels_of(names: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return what names have in common, and {name: what is its own, a line for each option}."""
    common = shared_words(names) if len(names) > 1 else []
    own = {name: [word for word in name.split() if word not in common] for name in names}
    return " ".join(common), {
        name: "\n".join(words) or " ".join(common) for name, words in own.items()
    }


def title_of(*parts: str) -> str:
    """Return a panel's title in lines that fit: its task, and what its series have in common."""
    return fill(": ".join(part for part in parts if part), TITLE)


def lines_with_labels(
    axis: Axes, lines: Mapping[str, tuple[Sequence[float], np.ndarray, np.ndarray]]
) -> str:
    """Draw series with ranges, and their names at their right ends. Returns what the names share.

    Args:
        axis: The axes; its scales are set.
        lines: {name: (x, mean, half the range over seeds)}.
    """
    common, labels = labels_of(list(lines))
    ends = []
    for look, (name, (x, mean, spread)) in zip(LOOKS * len(lines), lines.items()):
        axis.errorbar(x, mean, spread, color=look.color, linestyle=look.dashes, marker=look.marker)
        ends.append(End(float(mean[-1]), labels[name], look.color))
    direct_labels(axis, ends)
    return common


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
