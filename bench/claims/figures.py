"""Figures of the claims, drawn from measurements and records."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from bench.claims.across_runs import bits_per_dim
from bench.claims.curves import Curve, EMCurve, LadderCurve, LevelsCurve, PixelValues
from bench.claims.gap_figures import inference_gaps
from bench.claims.history_figures import alternating, degeneracy
from bench.claims.latent_figures import blur, exemplars, samples
from bench.claims.panels import (
    Drawn,
    grouped,
    lines_with_labels,
    mean_and_spread,
    panels,
    title_of,
)
from bench.claims.prior_figures import prior_gains
from bench.records.types import Record
from bench.report.png import figure_bytes
from bench.report.style import (
    BLUE,
    DPI,
    GREY,
    LOOKS,
    PAGE,
    RED,
    SMALL,
    STYLE,
    plain_numbers,
)

# The file of a figure, and its caption.
Shown = tuple[Path, str]


def draw_all(
    records: dict[int, list[Record]], curves: list[Curve], figures: Path, form: str = "png"
) -> tuple[list[Shown], dict[int, list[Shown]]]:
    """Draw every figure of the claims.

    Args:
        records: {claim: records of its runs} of claims 5, 7, 12 and 14.
        curves: The curves of all measurements.
        figures: Folder of the files.
        form: png, pdf or svg.

    Returns:
        The figures at the top of the page, and {claim: its figures}.
    """
    figures.mkdir(parents=True, exist_ok=True)
    ladders = [curve for curve in curves if curve["figure"] == "ladder"]
    pixels = [curve for curve in curves if curve["figure"] == "pixels"]
    front = saved(figures / f"pixel-values.{form}", lambda: pixel_values(pixels))
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
        for entry in saved(figures / f"claim-{claim:02}-{name}.{form}", draw):
            shown.setdefault(claim, []).append(entry)
    return front, shown


def saved(path: Path, draw: Callable[[], Drawn | None]) -> list[Shown]:
    """Save a figure; return its file with its caption, or nothing where nothing was drawn."""
    with matplotlib.rc_context(STYLE):
        drawn = draw()
        if drawn is None:
            return []
        figure, caption = drawn
        path.write_bytes(figure_bytes(figure, path.suffix[1:], DPI))
    return [(path, caption)]


def pixel_values(curves: list[PixelValues]) -> Drawn | None:
    """Pixel values before and after dequantization, as in the lecture."""
    if not curves:
        return None
    curve = curves[0]
    figure, (before, after) = panels(2, height=2.0)
    before.bar(curve["x"], curve["y"], width=max(curve["x"]) / 90, color=BLUE)
    before.set(title="before: mass on integers", xlabel="y (level)", ylabel="share of pixels")
    width = curve["bins"][1] - curve["bins"][0]
    after.bar(curve["bins"], curve["density"], width=width, color=RED)
    after.set(title="after: (y + u) / L, u ~ U[0, 1)", xlabel="x (of the range)", ylabel="density")
    for axis in (before, after):
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        plain_numbers(axis, "y")
    return figure, (
        f"Pixel values of {curve['task']} before and after uniform dequantization, training split, "
        "logarithmic scales."
    )


def against_samples(
    curves: list[LadderCurve], value: Callable[[LadderCurve], list[float]], names: tuple[str, str]
) -> Figure:
    """Draw a value of each model against K: a panel for each task, names at the ends of lines.

    A task with more models than there are looks of lines has a panel for its VAEs and one for its flows.
    """
    parts: dict[str, list[LadderCurve]] = {}
    for (task,), own in grouped(curves, "task").items():
        if len(grouped(own, "model")) <= len(LOOKS):
            parts[task] = own
        else:
            parts[f"{task}, VAEs"] = [curve for curve in own if not is_flow(curve)]
            parts[f"{task}, flows"] = [curve for curve in own if is_flow(curve)]
    parts = {title: own for title, own in parts.items() if own}
    figure, axes = panels(len(parts), height=2.6)
    for axis, (title, own) in zip(axes, parts.items()):
        axis.set_xscale("log")
        plain_numbers(axis)
        lines = {
            model: (seeds[0]["x"], *mean_and_spread([value(curve) for curve in seeds]))
            for (model,), seeds in grouped(own, "model").items()
        }
        common = lines_with_labels(axis, lines)
        axis.set_xticks(own[0]["x"])
        axis.set(title=title_of(title, common), xlabel=names[0], ylabel=names[1])
    return figure


def is_flow(curve: LadderCurve) -> bool:
    return "realnvp" in curve["model"]


def ladder(curves: list[LadderCurve]) -> Drawn | None:
    """Claim 2: L_K against K."""
    if not curves:
        return None
    names = "K (samples)", "L_K (nats per image)"
    return against_samples(curves, lambda curve: curve["y"], names), (
        "The importance-weighted bound against its number of samples, mean over seeds; bars: range "
        "over seeds."
    )


def gaps(curves: list[LadderCurve]) -> Drawn | None:
    """Claim 6: bits/dim against K of flows, whose only latent noise is u."""
    flows = [curve for curve in curves if is_flow(curve)]
    if not flows:
        return None
    bits = lambda curve: [bits_per_dim(y, curve["dimensions"]) for y in curve["y"]]
    return against_samples(flows, bits, ("K (samples of u)", "bits/dim (upper bound)")), (
        "Flows: the bound of dequantization (K = 1) and what importance weighting over u leaves of "
        "its gap; bars: range over seeds."
    )


def half_steps(curves: list[EMCurve]) -> Drawn | None:
    """Claim 4: the bound after each half-step of EM."""
    if not curves:
        return None
    models = grouped(curves, "task", "model")
    figure, axes = panels(len(models), height=2.2)
    for axis, ((task, model), own) in zip(axes, models.items()):
        for look, curve in zip(LOOKS, own):
            axis.plot(curve["x"], curve["y"], color=look.color, linestyle=look.dashes)
        limits = [curve["limit"] for curve in own if "limit" in curve]
        if limits:
            axis.axhline(limits[0], color=GREY, linewidth=0.9, zorder=0)
            axis.annotate("maximum in closed form", (0, limits[0]), (2, 2), fontsize=SMALL,
                          xycoords=axis.get_yaxis_transform(), textcoords="offset points")  # fmt: skip
        axis.set_xscale("log")
        plain_numbers(axis)
        axis.set(title=title_of(task, model), xlabel="half-steps", ylabel="ELBO (nats per image)")
    return figure, "EM: the bound after every E- and M-step, a line for each seed."


def levels(curves: list[LevelsCurve]) -> Drawn | None:
    """Claim 8: mass by level, beside the level's share in test images."""
    if not curves:
        return None
    models = grouped(curves, "task", "model")
    figure, axes = panels(len(models), width=PAGE / 3, height=2.1, columns=3)
    for axis, ((_, model), seeds) in zip(axes, models.items()):
        mean, _ = mean_and_spread([curve["y"] for curve in seeds])
        first = seeds[0]
        axis.plot(first["x"], first["share"], color=GREY, linewidth=3, label="share in test images")
        axis.plot(first["x"], mean, color=BLUE, linewidth=1, label="mass given")
        axis.plot(first["unseen"], mean[first["unseen"]], "o", color=RED, markersize=4,
                  label="level left out in training")  # fmt: skip
        axis.set_yscale("log")
        axis.set_ylim(bottom=1e-6)
        plain_numbers(axis, "y")
        words = [word for word in model.split() if not word.startswith("leave_out_every=")]
        axis.set(title="\n".join(words), xlabel="level")
    for axis in axes[::3]:
        axis.set_ylabel("mass (mean over pixels)")
    figure.legend(handles=axes[0].get_lines()[:3], loc="outside lower center", ncols=3)
    tasks = ", ".join(task for (task,) in grouped(curves, "task"))
    return figure, f"Mass by level on {tasks}, mean over seeds, logarithmic scale."
