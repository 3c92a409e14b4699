"""Figures of claims 11 and 12: priors against the aggregated posterior, and sharpness of images."""

import io
from base64 import b64decode

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from PIL import Image

from bench.claims.across_runs import value_of
from bench.claims.blur import blur_records, correlation
from bench.claims.curves import ExemplarsCurve, SampleGrids
from bench.claims.panels import Drawn, grouped, mean_and_spread, panels, title_of
from bench.records.types import Record
from bench.report.shown import by_model
from bench.report.style import (
    BLUE,
    GREEN,
    PAGE,
    RED,
    SMALL,
    End,
    direct_labels,
    plain_numbers,
    with_minus,
)


def exemplars(curves: list[ExemplarsCurve]) -> Drawn | None:
    """Claim 11: gain of q_agg over the trained prior against the number of exemplars."""
    own = [curve for curve in curves if " " not in curve["model"]]
    if not own:
        return None
    models = grouped(own, "task", "model")
    figure, axes = panels(len(models), width=PAGE / 3, height=2.0, columns=3)
    looks = {
        "test": (RED, "-", "^"),
        "train": (BLUE, (0, (5, 1.5)), "o"),
        "train, leave-one-out": (GREEN, (0, (1.5, 1)), "s"),
    }
    for axis, ((task, model), group) in zip(axes, models.items()):
        for (split,), seeds in grouped(group, "split").items():
            mean, spread = mean_and_spread([curve["y"] for curve in seeds])
            color, dashes, marker = looks[split]
            axis.errorbar(seeds[0]["x"], mean, spread, color=color, linestyle=dashes,
                          marker=marker, label=split)  # fmt: skip
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_xscale("log")
        axis.set_yscale("symlog", linthresh=1)
        plain_numbers(axis)
        plain_numbers(axis, "y")
        axis.set(title=title_of(task, model), xlabel="exemplars in q_agg")
    for axis in axes[::3]:
        axis.set_ylabel("gain of ELBO (nats)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure, (
        "What q_agg of so many training images gains over the prior that was trained with; mean "
        "over seeds, bars: range. Linear between −1 and 1, logarithmic beyond."
    )


def blur(records: list[Record]) -> Drawn | None:
    """Claim 12: what decoder and mismatch cost in sharpness, against the marginal KL."""
    tasks = blur_records(records)
    if not tasks:
        return None
    figure, axes = panels(len(tasks), height=3.1)
    for axis, (task, own) in zip(axes, tasks.items()):
        losses(axis, own)
        rho, _, low, high = correlation(own)
        axis.set_title(
            f"{task}: {len(own)} VAEs\nSpearman's ρ = "
            + with_minus(f"{rho:+.2f} (95 %: {low:+.2f} to {high:+.2f})")
        )
        axis.set_xlabel("mismatch: marginal KL (nats)")
    axes[0].set_ylabel("sharpness (1: as sharp as data)")
    return figure, (
        "What samples lose in sharpness: grey by the decoder (from data to samples from q_agg, which "
        "are free of mismatch), red by the mismatch of the prior (from samples of q_agg to those of "
        "the prior). A line for each model, mean over seeds; dots: runs. If mismatch caused the blur, "
        "red would be the longer part and ρ negative."
    )


def losses(axis: Axes, records: list[Record]) -> None:
    """Draw each model's fall from data's sharpness to that of its samples, in its two parts."""
    names = ("marginal_kl", "sharpness_aggregate", "sharpness")
    runs = np.array([[value_of(record, name) for name in names] for record in records])
    models = by_model(records)
    means = np.array(
        [[np.mean([value_of(r, name) for r in own]) for name in names] for own in models.values()]
    )
    kl, free, prior = means.T
    if (runs[:, 0] > 0).all():
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        plain_numbers(axis)
    width = min(max(1.6, 30 / len(kl)), 6)
    axis.vlines(kl, free, 1, color="#b5b5b5", linewidth=width)
    axis.vlines(kl, np.minimum(prior, free), np.maximum(prior, free), color=RED, linewidth=width)
    axis.plot(kl, free, "_", color="black", markersize=6, markeredgewidth=1.2)
    axis.plot(runs[:, 0], runs[:, 2], "o", color=RED, markersize=2.4, alpha=0.6)
    axis.axhline(1, color="black", linewidth=0.9)
    axis.set_ylim(0, 1.06)
    decoder, mismatch = 1 - float(free.mean()), float((free - prior).mean())
    last = int(np.argmax(kl))
    ends = [
        End(1.0, "data", "black"),
        End((1 + free[last]) / 2, f"lost by\nthe decoder:\n{decoder:.2f}", "#595959"),
        End(float(free[last]), "samples\nfrom q_agg", "black"),
        End(float(prior[last]), f"lost by\nmismatch:\n{mismatch:.2f}", RED),
    ]
    direct_labels(axis, ends)


def samples(curves: list[SampleGrids]) -> Drawn | None:
    """Claim 12: data, reconstructions, samples from q_agg and the prior; one seed of each model."""
    own = [curve for curve in curves if " " not in curve["model"]]
    firsts = [group[0] for group in grouped(own, "task", "model").values()]
    if not firsts:
        return None
    kinds = ("data", "reconstructions", "samples from q_agg", "samples from the prior")
    figure = Figure(figsize=(PAGE, 1.64 * len(firsts) + 0.25), layout="constrained")
    axes = figure.subplots(len(firsts), 4, squeeze=False)
    for axis, kind in zip(axes[0], kinds):
        axis.set_title(kind)
    for row, curve in zip(axes, firsts):
        for axis, kind in zip(row, kinds):
            image = np.asarray(Image.open(io.BytesIO(b64decode(curve["images"][kind]))))
            axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(f"{curve['task']}\n{curve['model']}", fontsize=SMALL)
    return figure, (
        "Test images, their reconstructions, decoded samples from q_agg of the training split and "
        "from the prior (E[y|z] of each); one seed."
    )
