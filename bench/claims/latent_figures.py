"""Figures of claims 11 and 12: priors against the aggregated posterior, and sharpness of images."""

import io
from base64 import b64decode

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from bench.claims.across_runs import value_of
from bench.claims.blur import blur_records
from bench.claims.curves import ExemplarsCurve, SampleGrids
from bench.claims.panels import (
    BLUE,
    GREEN,
    RED,
    YELLOW,
    Drawn,
    grouped,
    mean_and_spread,
    panels,
)
from bench.records.types import Record


def exemplars(curves: list[ExemplarsCurve]) -> Drawn | None:
    """Claim 11: gain of q_agg over the trained prior against the number of exemplars."""
    own = [curve for curve in curves if " " not in curve["model"]]
    if not own:
        return None
    models = grouped(own, "task", "model")
    figure, axes = panels(len(models), width=3.6)
    styles = {"test": RED, "train": BLUE, "train, leave-one-out": GREEN}
    for axis, ((task, model), group) in zip(axes, models.items()):
        for (split,), seeds in grouped(group, "split").items():
            mean, spread = mean_and_spread([curve["y"] for curve in seeds])
            axis.errorbar(seeds[0]["x"], mean, spread, color=styles[split], marker="o",
                          markersize=3, label=split)  # fmt: skip
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_xscale("log")
        axis.set_yscale("symlog", linthresh=1)
        axis.set(title=f"{task}: {model}", xlabel="exemplars in q_agg")
        axis.legend(frameon=False, fontsize=7)
    axes[0].set_ylabel("gain of ELBO (nats per image)")
    return figure, (
        "What q_agg of so many training images gains over the prior that was trained with; mean "
        "over seeds, bars: range. Linear between −1 and 1, logarithmic beyond."
    )


def blur(records: list[Record]) -> Drawn | None:
    """Claim 12: sharpness against the marginal KL, a dot for each run."""
    tasks = blur_records(records)
    if not tasks:
        return None
    figure, axes = panels(len(tasks), width=5.0, height=4.0)
    kinds = {
        "sharpness": ("samples from the prior", RED),
        "sharpness_aggregate": ("samples from q_agg", YELLOW),
        "sharpness_reconstruction": ("reconstructions", BLUE),
    }
    for axis, (task, own) in zip(axes, tasks.items()):
        marginal = [value_of(record, "marginal_kl") for record in own]
        for name, (label, color) in kinds.items():
            values = [value_of(record, name) for record in own]
            axis.scatter(marginal, values, s=14, color=color, label=label, alpha=0.8)
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set(title=f"{task}: {len(own)} VAEs", xlabel="marginal KL on test (nats)",
                 ylabel="sharpness (1 is data's)")  # fmt: skip
        axis.legend(frameon=False, fontsize=8)
    return figure, "Sharpness against the mismatch of prior and aggregated posterior, a dot a run."


def samples(curves: list[SampleGrids]) -> Drawn | None:
    """Claim 12: data, reconstructions, samples from q_agg and the prior; one seed of each model."""
    own = [curve for curve in curves if " " not in curve["model"]]
    firsts = [group[0] for group in grouped(own, "task", "model").values()]
    if not firsts:
        return None
    kinds = ("data", "reconstructions", "samples from q_agg", "samples from the prior")
    figure = Figure(figsize=(9, 2.4 * len(firsts)), layout="constrained")
    axes = figure.subplots(len(firsts), 4, squeeze=False)
    for axis, kind in zip(axes[0], kinds):
        axis.set_title(kind, fontsize=9)
    for row, curve in zip(axes, firsts):
        for axis, kind in zip(row, kinds):
            image = np.asarray(Image.open(io.BytesIO(b64decode(curve["images"][kind]))))
            axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"{curve['task']}\n{curve['model']}", fontsize=8)
    return figure, (
        "Test images, their reconstructions, decoded samples from q_agg of the training split and "
        "from the prior (E[y|z] of each); one seed."
    )
