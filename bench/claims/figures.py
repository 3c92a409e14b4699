"""Figures of the claims, drawn from measurements and records."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from bench.claims.across_runs import bits_per_dim, steps_of
from bench.claims.curves import Curve, EMCurve, LadderCurve, LevelsCurve, PixelValues
from bench.claims.gap_figures import inference_gaps
from bench.claims.latent_figures import blur, exemplars, samples
from bench.claims.panels import BLUE, CYCLE, GREY, RED, Drawn, grouped, mean_and_spread, panels
from bench.claims.prior_figures import prior_gains
from bench.records.types import EpochRecord, Record
from bench.report.png import figure_png

# The file of a figure, and its caption.
Shown = tuple[Path, str]


def draw_all(
    records: dict[int, list[Record]], curves: list[Curve], figures: Path
) -> tuple[list[Shown], dict[int, list[Shown]]]:
    """Draw every figure of the claims.

    Args:
        records: {claim: records of its runs} of claims 5, 7, 11, 12 and 14.
        curves: The curves of all measurements.
        figures: Folder of the files.

    Returns:
        The figures at the top of the page, and {claim: its figures}.
    """
    figures.mkdir(parents=True, exist_ok=True)
    ladders = [curve for curve in curves if curve["figure"] == "ladder"]
    front = saved(
        figures,
        "pixel-values",
        pixel_values([curve for curve in curves if curve["figure"] == "pixels"]),
    )
    # Functions, so that only one figure is in memory at a time.
    plots: list[tuple[int, str, Callable[[], Drawn | None]]] = [
        (2, "ladder", lambda: ladder(ladders)),
        (4, "em", lambda: half_steps([c for c in curves if c["figure"] == "em"])),
        (5, "by-turns", lambda: alternating(records[5])),
        (6, "dequantization-gap", lambda: gaps(ladders)),
        (7, "degeneracy", lambda: degeneracy(records[7])),
        (8, "unseen-levels", lambda: levels([c for c in curves if c["figure"] == "levels"])),
        (11, "exemplars", lambda: exemplars([c for c in curves if c["figure"] == "exemplars"])),
        (12, "blur", lambda: blur(records[12])),
        (12, "samples", lambda: samples([c for c in curves if c["figure"] == "samples"])),
        (13, "gaps", lambda: inference_gaps([c for c in curves if c["figure"] == "gaps"])),
        (14, "priors", lambda: prior_gains(records[14])),
    ]
    shown: dict[int, list[Shown]] = {}
    for claim, name, draw in plots:
        for entry in saved(figures, f"claim-{claim:02}-{name}", draw()):
            shown.setdefault(claim, []).append(entry)
    return front, shown


def saved(figures: Path, name: str, drawn: Drawn | None) -> list[Shown]:
    """Save a figure; return its file with its caption, or nothing where nothing was drawn."""
    if drawn is None:
        return []
    figure, caption = drawn
    path = figures / f"{name}.png"
    path.write_bytes(figure_png(figure, dpi=110))
    return [(path, caption)]


def pixel_values(curves: list[PixelValues]) -> Drawn | None:
    """Pixel values before and after dequantization, as in the lecture."""
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


def ladder(curves: list[LadderCurve]) -> Drawn | None:
    """Claim 2: L_K against K."""
    if not curves:
        return None
    tasks = grouped(curves, "task")
    figure, axes = panels(len(tasks), width=4.0)
    for axis, ((task,), own) in zip(axes, tasks.items()):
        for color, ((model,), seeds) in zip(CYCLE * 3, grouped(own, "model").items()):
            mean, spread = mean_and_spread([curve["y"] for curve in seeds])
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


def gaps(curves: list[LadderCurve]) -> Drawn | None:
    """Claim 6: bits/dim against K of flows, whose only latent noise is u."""
    flows = [curve for curve in curves if "realnvp" in curve["model"]]
    if not flows:
        return None
    tasks = grouped(flows, "task")
    figure, axes = panels(len(tasks), width=4.0)
    for axis, ((task,), own) in zip(axes, tasks.items()):
        for color, ((model,), seeds) in zip(CYCLE, grouped(own, "model").items()):
            bits = [[bits_per_dim(y, curve["dimensions"]) for y in curve["y"]] for curve in seeds]
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


def half_steps(curves: list[EMCurve]) -> Drawn | None:
    """Claim 4: the bound after each half-step of EM."""
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


def history_lines(
    axis: Axes, records: list[Record], value: Callable[[EpochRecord, Record], float]
) -> None:
    """Draw a line for each run: a value of each validated epoch against gradient steps."""
    groups = grouped(records, "model")
    for color, ((model,), seeds) in zip(CYCLE, groups.items()):
        for number, record in enumerate(seeds):
            steps = [steps_of(record, point["epoch"]) for point in record["history"]]
            values = [value(point, record) for point in record["history"]]
            label = model if number == 0 else None
            axis.plot(steps, values, color=color, linewidth=1, label=label)
    axis.set(xlabel="gradient steps")
    axis.legend(frameon=False, fontsize=7)


def alternating(records: list[Record]) -> Drawn | None:
    """Claim 5: validation bounds of alternating and joint training."""
    if not records:
        return None
    tasks = grouped(records, "task")
    figure, axes = panels(len(tasks), width=5.5, height=3.8)
    for axis, ((task,), own) in zip(axes, tasks.items()):
        history_lines(axis, own, lambda point, _: point["validation_elbo"])
        ends = [p["validation_elbo"] for r in own for p in r["history"][2:]]
        axis.set_ylim(np.percentile(ends, 5), max(ends) + 0.02 * (max(ends) - min(ends)))
        axis.set(title=task, ylabel="validation ELBO (nats per image)")
    return figure, (
        "Encoder and decoder at once (no encoder_steps) and by turns of so many steps each; a line "
        "for each seed."
    )


def degeneracy(records: list[Record]) -> Drawn | None:
    """Claim 7: training 'bits/dim' with and without dequantization."""
    if not records:
        return None
    tasks = grouped(records, "task")
    figure, axes = panels(len(tasks), width=5.5, height=3.8)
    for axis, ((task,), own) in zip(axes, tasks.items()):
        history_lines(axis, own, training_bits)
        axis.axhline(0, color="black", linewidth=1)
        axis.text(0.98, 0, "no mass function can go below", fontsize=8, ha="right", va="bottom",
                  transform=axis.get_yaxis_transform())  # fmt: skip
        axis.set(title=task, ylabel="−ELBO / (D ln 2), 'bits/dim'")
    return figure, (
        "Training 'bits/dim' of densities trained on bare levels (dequantization=none) and of "
        "their dequantized twins; a line for each seed."
    )


def training_bits(point: EpochRecord, record: Record) -> float:
    return bits_per_dim(point["train_elbo"], record["data"]["dimensions"])


def levels(curves: list[LevelsCurve]) -> Drawn | None:
    """Claim 8: mass by level, beside the level's share in test images."""
    if not curves:
        return None
    models = grouped(curves, "task", "model")
    figure, axes = panels(len(models))
    for axis, ((_, model), seeds) in zip(axes, models.items()):
        mean, _ = mean_and_spread([curve["y"] for curve in seeds])
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
