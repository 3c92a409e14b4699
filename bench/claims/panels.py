"""What the claims' figures share: colours, panels, means over seeds."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

BLUE, RED, YELLOW, GREY, GREEN = "#4477aa", "#ee6677", "#ccbb44", "#bbbbbb", "#228833"
CYCLE = (BLUE, RED, GREEN, YELLOW, "#66ccee", "#aa3377")


def panels(count: int, width: float = 3.4, height: float = 3.3):
    """Return a figure with up to three panels in a row, and its axes in order."""
    columns = min(count, 3)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(width * columns + 0.4, height * rows), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis in axes.flat[count:]:
        axis.axis("off")
    return figure, list(axes.flat[:count])


def grouped(items: list[dict], *names: str) -> dict[tuple, list[dict]]:
    groups: dict[tuple, list[dict]] = {}
    for item in items:
        groups.setdefault(tuple(item[name] for name in names), []).append(item)
    return groups


def mean_and_spread(curves: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over seeds and the half width of their range."""
    values = np.array([curve["y"] for curve in curves])
    return values.mean(0), (values.max(0) - values.min(0)) / 2
