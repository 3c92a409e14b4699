"""The one style of all figures: at the width of a paper's column, and readable in grey."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

# Inches: a column of a paper, and both.
COLUMN, PAGE = 3.4, 7.0
DPI = 200
SMALL = 7
STYLE: Final[dict[str, Any]] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "figure.titlesize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    # A model's name is text, even if it contains dollar signs.
    "text.parse_math": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "likelihood-bench",
}


class Look(NamedTuple):
    """How a series is drawn: each differs from the others by more than its colour."""

    color: str
    dashes: str | tuple[int, tuple[float, ...]]
    marker: str


# Colours that the colour-blind tell apart (Paul Tol's schemes), dark and light in turn.
BLUE, YELLOW, RED, CYAN, GREEN, PURPLE = (
    "#004488", "#c78a00", "#bb3355", "#3fa7d6", "#117733", "#882288",
)  # fmt: skip
GREY = "#8c8c8c"
LOOKS = (
    Look(BLUE, "-", "o"),
    Look(YELLOW, (0, (5, 1.5)), "s"),
    Look(RED, (0, (1.5, 1)), "^"),
    Look(GREEN, (0, (6, 1.5, 1, 1.5)), "D"),
    Look(CYAN, "-", "v"),
    Look(PURPLE, (0, (3, 1, 1, 1, 1, 1)), "P"),
)


def with_minus(text: str) -> str:
    """Return a number's text with the minus sign that axes have, which is longer than a hyphen."""
    return text.replace("-", "−")


def plain_numbers(axis: Axes, which: str = "x") -> None:
    """Write the numbers of a logarithmic axis as 10 and 0.01, not as powers."""
    own = axis.xaxis if which == "x" else axis.yaxis
    own.set_major_formatter(FuncFormatter(lambda value, _: with_minus(f"{value:g}")))
    own.set_minor_formatter(FuncFormatter(lambda value, _: ""))


# The marks as letters, to stand before a name.
LETTERS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚"}


class End(NamedTuple):
    """The right end of a line: its value, its name in one or more lines, and its colour."""

    value: float
    name: str
    color: str


def direct_labels(axis: Axes, ends: Sequence[End], with_leaders: bool = True) -> None:
    """Write names beside the axes at the right ends of lines, apart from each other.

    Args:
        axis: The axes, whose limits are final.
        ends: The ends of the lines.
        with_leaders: Draw a line from each end at the axes' edge to its name.
    """
    figure = axis.get_figure(root=True)
    assert figure is not None
    grid = axis.get_subplotspec()
    rows = grid.get_gridspec().nrows if grid else 1
    # About the part of a figure's height that its axes have.
    line = 1.3 * SMALL / (0.7 * float(figure.get_figheight()) * 72 / rows)
    to_fraction = axis.transData + axis.transAxes.inverted()
    x = axis.get_xlim()[1]
    wanted = sorted(
        (min(max(float(to_fraction.transform((x, end.value))[1]), 0.0), 1.0), end) for end in ends
    )
    heights = [line * (end.name.count("\n") + 1) for _, end in wanted]
    for (at, end), place in zip(wanted, apart([place for place, _ in wanted], heights)):
        leader = {
            "arrowstyle": "-",
            "color": end.color,
            "linewidth": 0.6,
            # It ends at the name's left edge: towards the middle it would cross other names.
            "relpos": (0, 0.5),
            "shrinkA": 0,
            "shrinkB": 0,
        }
        axis.annotate(
            end.name, (1.0, at), (1.08 if with_leaders else 1.02, place),
            xycoords="axes fraction", textcoords="axes fraction", color=end.color, fontsize=SMALL,
            va="center", linespacing=1.05, arrowprops=leader if with_leaders else None,
        )  # fmt: skip


def apart(places: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Return sorted places of labels, moved so that labels of these heights do not overlap.

    Where all fit between 0 and 1, which are the ends of the axes, they stay there.
    """
    fit = sum(heights) <= 1
    gaps = [(low + high) / 2 for low, high in zip(heights, heights[1:])]
    moved = list(places)
    # Each of a pair that is too close moves half of what is lacking, until none is.
    for _ in range(200):
        for position, gap in enumerate(gaps):
            lacking = gap - (moved[position + 1] - moved[position])
            if lacking > 0:
                moved[position] -= lacking / 2
                moved[position + 1] += lacking / 2
        if fit:
            moved[0] = max(moved[0], heights[0] / 2)
            moved[-1] = min(moved[-1], 1 - heights[-1] / 2)
    return moved
