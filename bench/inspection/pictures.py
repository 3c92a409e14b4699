"""Pictures of an inspected model: extremes, the latent map by class, traversals."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from bench.inspection.inspected import Extremes, Inspected
from bench.report.style import with_minus

# Ten classes that can be told apart, also by the colour-blind as far as ten can (Tol's muted scheme).
CLASSES = (
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#888888",
)  # fmt: skip
MOST_POINTS = 4000


def as_image(values: Tensor, shape: Sequence[int], levels: int) -> NDArray[np.float32]:
    """Return (height, width, 3) in [0, 1] of an image (D,) in units of levels."""
    image = (values.float() / (levels - 1)).clamp(0, 1).view(*shape).permute(1, 2, 0)
    grey: NDArray[np.float32] = image.expand(-1, -1, 3).cpu().numpy()
    return grey


def show(axis: Axes, values: Tensor, shape: Sequence[int], levels: int) -> None:
    axis.imshow(as_image(values, shape, levels), interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])


def extremes_figure(extremes: Extremes, shape: Sequence[int], levels: int) -> Figure:
    """Draw the images for which q serves worst and best, each above its reconstruction."""
    count = extremes.images.shape[1]
    figure = Figure(figsize=(0.85 * count + 0.9, 5.0), layout="constrained")
    axes = figure.subplots(4, count, squeeze=False)
    for kind, name in enumerate(("largest", "smallest")):
        for place in range(count):
            above, below = axes[2 * kind][place], axes[2 * kind + 1][place]
            show(above, extremes.images[kind, place].float(), shape, levels)
            show(below, extremes.reconstructions[kind, place], shape, levels)
            k = extremes.pareto_k[kind, place].item()
            above.set_title(f"k̂ {k:.2f}", fontsize=8)
            gap = extremes.gaps[kind, place].item()
            below.set_xlabel(with_minus(f"gap {gap:.1f}"), fontsize=8)
        axes[2 * kind][0].set_ylabel(f"{name} k̂", fontsize=9)
        axes[2 * kind + 1][0].set_ylabel("reconstruction", fontsize=8)
    return figure


def map_figure(found: Inspected, classes: Sequence[str]) -> Figure:
    """Draw the posterior means of test images on their two principal axes, coloured by class."""
    figure = Figure(figsize=(6.4, 5.0), layout="constrained")
    axis = figure.subplots()
    points = found.means[:MOST_POINTS].numpy()
    dots = partial(axis.scatter, s=6, linewidths=0, alpha=0.7)
    if found.labels is None:
        dots(*points.T, color=CLASSES[0])
    else:
        labels = found.labels[: len(points)].numpy()
        for number, name in enumerate(classes):
            own = points[labels == number]
            dots(*own.T, color=CLASSES[number % 10], label=name)
        axis.legend(
            frameon=False, fontsize=8, markerscale=2.5, loc="center left", bbox_to_anchor=(1.0, 0.5)
        )
    first, second = found.shares
    axis.set(
        xlabel=f"first principal axis of the posterior means ({first:.0%} of their variance)",
        ylabel=f"second principal axis ({second:.0%})",
    )
    return figure


def traversals_figure(found: Inspected, shape: Sequence[int], levels: int) -> Figure:
    """Draw what the decoder does while one latent dimension moves, a row for each."""
    rows, steps = found.traversals.shape[:2]
    figure = Figure(figsize=(0.85 * steps + 1.2, 0.95 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, steps, squeeze=False)
    for row, dimension in enumerate(found.dimensions):
        for step in range(steps):
            show(axes[row][step], found.traversals[row, step], shape, levels)
        low, high = found.span[row]
        axes[row][0].set_ylabel(f"z{dimension}", fontsize=9)
        axes[row][0].set_xlabel(with_minus(f"{low:.1f}"), fontsize=8)
        axes[row][-1].set_xlabel(with_minus(f"{high:.1f}"), fontsize=8)
    return figure
