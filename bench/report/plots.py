"""Figures of a sweep, drawn from its records."""

from collections.abc import Callable, Iterable, Sequence
from textwrap import fill

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from bench.records.types import Record, TableRecord  # noqa: E402
from bench.report.png import figure_bytes  # noqa: E402
from bench.report.shown import CURVES, PARTS, by_model, decoded, visible_range  # noqa: E402
from bench.report.style import (  # noqa: E402
    BLUE,
    COLUMN,
    DPI,
    GREY,
    PAGE,
    RED,
    SMALL,
    STYLE,
)
from bench.system.printing import number  # noqa: E402

# Characters in a line of a panel's title.
PANEL = 24
WHOLE = "−ELBO as a whole (flows)"
CURVE_LOOKS = (("train", BLUE, (0, (4, 1.5))), ("validation", RED, "-"))


def figure_names(records: Iterable[TableRecord]) -> list[str]:
    """Return the names of all files that ``figures_of`` may give for these records or some of them."""
    tasks = dict.fromkeys(record["task"] for record in records)
    return [figure_name(task, name) for task in tasks for name in FIGURES]


def figure_name(task: str, name: str, form: str = "png") -> str:
    return f"{task}-{name}.{form}"


def figures_of(records: Sequence[Record], form: str = "png") -> dict[str, bytes]:
    """Return every figure of a sweep by its file's name, as png, pdf or svg."""
    good = [record for record in records if record["status"] == "ok"]
    drawn = {}
    for task in dict.fromkeys(record["task"] for record in good):
        own = [record for record in good if record["task"] == task]
        for name, draw in FIGURES.items():
            with plt.rc_context(STYLE):
                figure = draw(own, task)
                if figure is not None:
                    drawn[figure_name(task, name, form)] = figure_bytes(figure, form, DPI)
                    plt.close(figure)
    return drawn


def training_curves(records: Sequence[Record], task: str) -> Figure | None:
    """Draw training and validation bound against epochs: a panel per model, a line per seed."""
    models = {m: rs for m, rs in by_model(records).items() if any(r["history"] for r in rs)}
    if not models:
        return None
    columns = min(len(models), 3)
    rows = -(-len(models) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(PAGE * max(columns, 1.5) / 3, 1.9 * rows + 0.5),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat[len(models) :]:
        axis.axis("off")
    for axis, (model, group) in zip(axes.flat, models.items()):
        for record in group:
            epochs = [point["epoch"] for point in record["history"]]
            for name, (label, color, dashes) in zip(CURVES, CURVE_LOOKS):
                bounds = [point[name] for point in record["history"]]
                axis.plot(epochs, bounds, color=color, linestyle=dashes, linewidth=0.9, label=label)
            axis.axvline(record.get("best_epoch") or 0, color="#bbbbbb", linewidth=0.8, zorder=0)
        shown = visible_range(group)
        if shown is not None:
            axis.set_ylim(*shown)
        axis.set_title(fill(model, PANEL))
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    for axis in axes[:, 0]:
        axis.set_ylabel("ELBO (nats per image)")
    figure.suptitle(fill(f"{task}; grey line: the epoch that was evaluated", 20 * columns + 24))
    handles = axes[0][0].get_lines()[:2]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
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
        rows,
        columns,
        figsize=(PAGE * columns / 5, 1.65 * rows + 0.2),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, (title, encoded) in zip(axes.flat, panels):
        image = decoded(encoded, title)
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(title, fontsize=SMALL)
    figure.suptitle(f"{task}: samples (for VAEs the mean E[y|z], z drawn from the prior)")
    return figure


def elbo_decomposition(records: Sequence[Record], task: str) -> Figure | None:
    """Draw −ELBO as stacked bars: mutual information + marginal KL − reconstruction, test split.

    The bar of a flow is not divided: its encoder is deterministic, so its KL and its marginal KL are
    infinite, and its mutual information is log n.
    """
    groups = by_model(records)
    models = {m: g for m, g in groups.items() if has_all(g, *PARTS, "log_n")}
    if not models:
        return None
    flows = {
        m: g
        for m, g in groups.items()
        if m not in models and has_all(g, "mutual_information", "elbo")
    }
    height = 0.42 * (len(models) + len(flows)) + 1.15
    figure, axis = plt.subplots(figsize=(COLUMN, height), layout="constrained")
    left, sums = np.zeros(len(models)), [""] * len(models)
    names = [fill(model, PANEL) for model in models]
    for name, (label, color) in PARTS.items():
        means = np.array([mean_of(group, name) for group in models.values()])
        widths = -means if name == "reconstruction" else means
        axis.barh(names, widths, left=left, color=color, label=label, height=0.42)
        left += widths
        sums = [
            f"{text} + {number(w, 1)}" if text else number(w, 1) for text, w in zip(sums, widths)
        ]
    sums = [f"{text} = {number(total, 1)}" for text, total in zip(sums, left)]
    if flows:
        totals = [-mean_of(group, "elbo") for group in flows.values()]
        axis.barh([fill(m, PANEL) for m in flows], totals, color=GREY, hatch="///", edgecolor="white", label=WHOLE, height=0.42)  # fmt: skip
        sums += [number(total, 1) for total in totals]
    log_n = mean_of(next(iter(models.values()))[:1], "log_n")
    annotate_bars(axis, sums, [log_n] * len(models))
    axis.set_xlabel("−ELBO (nats per image)")
    figure.suptitle(
        f"{task}: the ELBO taken apart, test split\n"
        f"dashed: log n = {number(log_n, 2)} bounds mutual information"
    )
    axis.set_ylim(len(sums) - 0.6, -0.75)
    axis.set_xlim(0, None)
    axis.tick_params(axis="y", length=0)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def annotate_bars(axis: Axes, sums: Sequence[str], strokes: Sequence[float]) -> None:
    """Write a sum above each bar, in the order of its parts, and draw a stroke at the first bars."""
    for position, text in enumerate(sums):
        place, offset = (0, position - 0.25), (2, 0)
        axis.annotate(text, place, offset, textcoords="offset points", va="bottom", fontsize=SMALL)
    # A line through all bars would cross the numbers.
    bars = np.arange(len(strokes))
    axis.vlines(
        strokes, bars - 0.21, bars + 0.3, color="black", linestyle=(0, (2, 1)), linewidth=1.0
    )


def has_all(group: Sequence[Record], *names: str) -> bool:
    """Tell whether every run of a model has these estimates of the test split."""
    return all(set(names) <= set(record["metrics"]["test"]) for record in group)


def mean_of(group: Sequence[Record], name: str) -> float:
    return float(np.mean([value_of(record, name) for record in group]))


def value_of(record: Record, name: str) -> float:
    return record["metrics"]["test"][name]["value"]


FIGURES: dict[str, Callable[[Sequence[Record], str], Figure | None]] = {
    "curves": training_curves,
    "samples": samples_beside_data,
    "decomposition": elbo_decomposition,
}
