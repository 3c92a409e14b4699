"""Figures of a sweep, drawn from its records."""

from collections.abc import Callable, Iterable, Sequence
from textwrap import fill

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from bench.records.types import Record, TableRecord  # noqa: E402
from bench.report.png import figure_png  # noqa: E402
from bench.report.shown import CURVES, by_model, decoded, visible_range  # noqa: E402
from bench.system.printing import number  # noqa: E402

# Characters in a line of a panel's title.
PANEL = 28
DPI = 110
COLORS = {"reconstruction": "#4477aa", "mutual_information": "#ccbb44", "marginal_kl": "#ee6677"}


def figure_names(records: Iterable[TableRecord]) -> list[str]:
    """Return the names of all files that ``figures_of`` may give for these records or some of them."""
    tasks = dict.fromkeys(record["task"] for record in records)
    return [figure_name(task, name) for task in tasks for name in FIGURES]


def figure_name(task: str, name: str) -> str:
    return f"{task}-{name}.png"


def figures_of(records: Sequence[Record]) -> dict[str, bytes]:
    """Return every figure of a sweep as a PNG by its file's name."""
    good = [record for record in records if record["status"] == "ok"]
    drawn = {}
    for task in dict.fromkeys(record["task"] for record in good):
        own = [record for record in good if record["task"] == task]
        for name, draw in FIGURES.items():
            # A model's name is text, even if it contains dollar signs.
            with plt.rc_context({"text.parse_math": False}):
                figure = draw(own, task)
                if figure is not None:
                    drawn[figure_name(task, name)] = figure_png(figure, DPI)
                    plt.close(figure)
    return drawn


def training_curves(records: Sequence[Record], task: str) -> Figure | None:
    """Draw training and validation bound against epochs: a panel per model, a line per seed."""
    models = {m: rs for m, rs in by_model(records).items() if any(r["history"] for r in rs)}
    if not models:
        return None
    figure, axes = plt.subplots(
        1, len(models), figsize=(3.2 * len(models) + 0.6, 3.2), squeeze=False, layout="constrained"
    )
    for axis, (model, group) in zip(axes[0], models.items()):
        for position, record in enumerate(group):
            epochs = [point["epoch"] for point in record["history"]]
            for name, color in zip(CURVES, ("#4477aa", "#ee6677")):
                bounds = [point[name] for point in record["history"]]
                label = name.replace("_elbo", "") if position == 0 else None
                axis.plot(epochs, bounds, color=color, linewidth=1, label=label)
            axis.axvline(record.get("best_epoch") or 0, color="#bbbbbb", linewidth=0.8, zorder=0)
        shown = visible_range(group)
        if shown is not None:
            axis.set_ylim(*shown)
        axis.set_title(fill(model, PANEL), fontsize=11)
        axis.set_xlabel("epoch")
        axis.legend(frameon=False, loc="lower right", fontsize=8)
    axes[0][0].set_ylabel("ELBO (nats per image)")
    broken = "\n" if len(models) == 1 else " "  # one panel is narrower than the title
    title = f"{task}: training curves;{broken}grey: the epoch that was evaluated"
    figure.suptitle(title, fontsize=10)
    return figure


def samples_beside_data(records: Sequence[Record], task: str) -> Figure | None:
    """Draw data, and the samples and reconstructions of one seed of each model."""
    firsts = [group[0] for group in by_model(records).values()]
    panels = [("data (test)", r["images"]["data"]) for r in firsts if "data" in r["images"]][:1]
    for record in firsts:
        if "samples" in record["images"]:
            panels.append((fill(record["model"], PANEL), record["images"]["samples"]))
    for record in firsts:
        if "reconstructions" in record["images"]:
            title = f"{fill(record['model'], PANEL)},\nreconstructions"
            panels.append((title, record["images"]["reconstructions"]))
    if not panels:
        return None
    columns = min(len(panels), 5)
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.5 * columns, 2.75 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, (title, encoded) in zip(axes.flat, panels):
        image = decoded(encoded, title)
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(title, fontsize=9)
    figure.suptitle(
        f"{task}: samples (for VAEs the mean E[y|z], z drawn from the prior)", fontsize=10
    )
    return figure


def elbo_decomposition(records: Sequence[Record], task: str) -> Figure | None:
    """Draw −ELBO as stacked bars: −reconstruction + mutual information + marginal KL, test split."""
    needed = {"reconstruction", "mutual_information", "marginal_kl", "log_n"}
    models = {
        model: group
        for model, group in by_model(records).items()
        if all(needed <= set(record["metrics"]["test"]) for record in group)
    }
    if not models:
        return None
    figure, axis = plt.subplots(figsize=(9, 0.6 * len(models) + 1.9), layout="constrained")
    left = np.zeros(len(models))
    labels = {
        "reconstruction": "−reconstruction",
        "mutual_information": "mutual information",
        "marginal_kl": "marginal KL",
    }
    for name, label in labels.items():
        values = np.array([np.mean([value_of(r, name) for r in g]) for g in models.values()])
        widths = -values if name == "reconstruction" else values
        text = f"{label}: " + ", ".join(number(width, 1) for width in widths)
        axis.barh(list(models), widths, left=left, color=COLORS[name], label=text, height=0.6)
        left += widths
    for position, total in enumerate(left):
        axis.text(total, position, f" {number(total, 1)}", va="center", fontsize=9)
    log_n = value_of(next(iter(models.values()))[0], "log_n")
    axis.set_xlabel("−ELBO (nats per image)")
    # Centred over the figure: long names of models make the axes narrow.
    figure.suptitle(
        f"{task}: the ELBO taken apart, test split, means over seeds; "
        f"mutual information ≤ log n = {number(log_n, 2)}",
        fontsize=10,
    )
    axis.invert_yaxis()
    axis.set_xlim(0, left.max() * 1.08)
    figure.legend(
        frameon=False, fontsize=8, loc="outside lower center", ncols=3, title="top to bottom, nats"
    )
    return figure


def value_of(record: Record, name: str) -> float:
    return record["metrics"]["test"][name]["value"]


FIGURES: dict[str, Callable[[Sequence[Record], str], Figure | None]] = {
    "curves": training_curves,
    "samples": samples_beside_data,
    "decomposition": elbo_decomposition,
}
