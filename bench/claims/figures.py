"""Figures of the claims, drawn from measurements and records."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.claims.across_runs import bits_of, steps_of
from bench.claims.latent_figures import blur, exemplars, samples
from bench.claims.panels import BLUE, CYCLE, GREY, RED, grouped, mean_and_spread, panels, plt

# (file, caption)
Shown = tuple[Path, str]


def draw_all(
    records: dict[int, list[dict]], curves: list[dict], figures: Path
) -> tuple[list[Shown], dict[int, list[Shown]]]:
    """Draw every figure of the claims; return those for the page's top, and those of each claim."""
    figures.mkdir(parents=True, exist_ok=True)
    select = lambda name: [curve for curve in curves if curve["figure"] == name]
    front = saved(figures, "pixel-values", pixel_values(select("pixels")))
    plots: dict[int, list[tuple[str, Callable]]] = {
        2: [("ladder", lambda: ladder(select("ladder")))],
        4: [("em", lambda: half_steps(select("em")))],
        5: [("by-turns", lambda: by_turns(records[5]))],
        6: [("dequantization-gap", lambda: gaps(select("ladder")))],
        7: [("degeneracy", lambda: degeneracy(records[7]))],
        8: [("unseen-levels", lambda: levels(select("levels")))],
        11: [("exemplars", lambda: exemplars(select("exemplars")))],
        12: [
            ("blur", lambda: blur(records[12])),
            ("samples", lambda: samples(select("samples"))),
        ],
    }
    shown = {
        claim: [
            entry
            for name, draw in drawn
            for entry in saved(figures, f"claim-{claim:02}-{name}", draw())
        ]
        for claim, drawn in plots.items()
    }
    return front, {claim: entries for claim, entries in shown.items() if entries}


def saved(figures: Path, name: str, drawn: tuple | None) -> list[Shown]:
    """Save a figure and return it with its caption; nothing where there was nothing to draw."""
    if drawn is None:
        return []
    figure, caption = drawn
    path = figures / f"{name}.png"
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return [(path, caption)]


def pixel_values(curves: list[dict]):
    """The lecture's figure: pixel values before and after dequantization."""
    if not curves:
        return None
    curve = curves[0]
    figure, (before, after) = panels(2, width=4.2)
    before.bar(curve["x"], curve["y"], width=0.15, color=BLUE)
    before.set(
        title=f"before: {curve['task']}, mass on integers", xlabel="y (level)", ylabel="share of pixels"
    )  # fmt: skip
    after.bar(curve["bins"], curve["density"], width=curve["bins"][1] - curve["bins"][0], color=RED)
    after.set(
        title="after: (y + u) / L with u ~ U[0, 1)", xlabel="x (of the range)", ylabel="density"
    )
    after.set_yscale("log")
    before.set_yscale("log")
    return figure, (
        f"Pixel values of {curve['task']} before and after uniform dequantization, training split, "
        "logarithmic scales."
    )


def ladder(curves: list[dict]):
    if not curves:
        return None
    tasks = grouped(curves, "task")
    figure, axes = panels(len(tasks), width=4.0)
    for axis, ((task,), own) in zip(axes, tasks.items()):
        for color, ((model,), seeds) in zip(CYCLE * 3, grouped(own, "model").items()):
            mean, spread = mean_and_spread(seeds)
            axis.errorbar(
                seeds[0]["x"], mean, spread, color=color, marker="o", markersize=3, label=model
            )
        axis.set_xscale("log")
        axis.set(title=task, xlabel="K (samples)", ylabel="L_K (nats per image)")
        axis.legend(frameon=False, fontsize=7)
    return figure, (
        "The importance-weighted bound against its number of samples, mean over seeds; bars: range "
        "over seeds."
    )


def gaps(curves: list[dict]):
    """Claim 6: bits/dim against K of flows, whose only latent noise is u."""
    flows = [curve for curve in curves if "realnvp" in curve["model"]]
    if not flows:
        return None
    tasks = grouped(flows, "task")
    figure, axes = panels(len(tasks), width=4.0)
    for axis, ((task,), own) in zip(axes, tasks.items()):
        for color, ((model,), seeds) in zip(CYCLE, grouped(own, "model").items()):
            bits = [
                {"y": [bits_of(y, {"data": {"dimensions": c["dimensions"]}}) for y in c["y"]]}
                for c in seeds
            ]
            mean, spread = mean_and_spread(bits)
            axis.errorbar(
                seeds[0]["x"], mean, spread, color=color, marker="o", markersize=3, label=model
            )
        axis.set_xscale("log")
        axis.set(title=task, xlabel="K (samples of u)", ylabel="bits/dim (upper bound)")
        axis.legend(frameon=False, fontsize=8)
    return figure, (
        "Flows: the bound of dequantization (K = 1) and what importance weighting over u leaves of "
        "its gap; bars: range over seeds."
    )


def half_steps(curves: list[dict]):
    if not curves:
        return None
    models = grouped(curves, "task", "model")
    figure, axes = panels(len(models), width=4.4)
    for axis, ((task, model), own) in zip(axes, models.items()):
        for number, curve in enumerate(own):
            label = "bound after each half-step" if number == 0 else None
            axis.plot(curve["x"], curve["y"], color=CYCLE[number % 6], linewidth=1, label=label)
            if "limit" in curve:
                label = "closed-form maximum" if number == 0 else None
                axis.axhline(curve["limit"], color=GREY, linestyle="--", zorder=0, label=label)
        axis.set_xscale("log")
        axis.set(title=f"{task}: {model}", xlabel="half-steps", ylabel="ELBO (nats per image)")
        axis.legend(frameon=False, fontsize=8, loc="lower right")
    return figure, "EM: the bound after every E- and M-step, a line for each seed."


def history_lines(axis, groups: dict, column: str, of: Callable) -> None:
    for color, ((model,), seeds) in zip(CYCLE, groups.items()):
        for number, record in enumerate(seeds):
            steps = [steps_of(record, point["epoch"]) for point in record["history"]]
            values = [of(point[column], record) for point in record["history"]]
            label = model if number == 0 else None
            axis.plot(steps, values, color=color, linewidth=1, label=label)
    axis.set(xlabel="gradient steps")
    axis.legend(frameon=False, fontsize=7)


def by_turns(records: list[dict]):
    if not records:
        return None
    tasks = grouped(records, "task")
    figure, axes = panels(len(tasks), width=5.5, height=3.8)
    for axis, ((task,), own) in zip(axes, tasks.items()):
        history_lines(axis, grouped(own, "model"), "validation_elbo", lambda elbo, record: elbo)
        ends = [p["validation_elbo"] for r in own for p in r["history"][2:]]
        axis.set_ylim(np.percentile(ends, 5), max(ends) + 0.02 * (max(ends) - min(ends)))
        axis.set(title=task, ylabel="validation ELBO (nats per image)")
    return figure, (
        "Encoder and decoder at once (no encoder_steps) and by turns of so many steps each; a line "
        "for each seed."
    )


def degeneracy(records: list[dict]):
    if not records:
        return None
    tasks = grouped(records, "task")
    figure, axes = panels(len(tasks), width=5.5, height=3.8)
    for axis, ((task,), own) in zip(axes, tasks.items()):
        history_lines(axis, grouped(own, "model"), "train_elbo", bits_of)
        axis.axhline(0, color="black", linewidth=1)
        axis.text(0.98, 0, "no mass function can go below", fontsize=8, ha="right", va="bottom",
                  transform=axis.get_yaxis_transform())  # fmt: skip
        axis.set(title=task, ylabel="−ELBO / (D ln 2), 'bits/dim'")
    return figure, (
        "Training 'bits/dim' of densities trained on bare levels (dequantization=none) and of "
        "their dequantized twins; a line for each seed."
    )


def levels(curves: list[dict]):
    if not curves:
        return None
    models = grouped(curves, "task", "model")
    figure, axes = panels(len(models))
    for axis, ((_, model), seeds) in zip(axes, models.items()):
        mean, _ = mean_and_spread(seeds)
        first = seeds[0]
        axis.plot(first["x"], first["share"], color=GREY, linewidth=3, label="share in test images")
        axis.plot(first["x"], mean, color=BLUE, linewidth=1, label="mass given")
        axis.plot(first["unseen"], mean[first["unseen"]], "o", color=RED, markersize=4,
                  label="level left out in training")  # fmt: skip
        axis.set_yscale("log")
        axis.set_ylim(bottom=1e-6)
        words = [word for word in model.split() if not word.startswith("leave_out_every=")]
        axis.set(title=" ".join(words), xlabel="level")
        axis.legend(frameon=False, fontsize=7, loc="lower center")
    axes[0].set_ylabel("mass, mean over test pixels")
    return figure, "Mass by level, mean over seeds, logarithmic scale."
