"""What ``bench inspect`` writes: a page, its numbers as CSV, its curve as CSV, its figures as PNG."""

from base64 import b64encode
from pathlib import Path

import matplotlib
import pandas as pd

from bench.data.labels import names_of_classes
from bench.estimators.estimate import Estimate
from bench.inspection.inspected import Inspected
from bench.inspection.pictures import (
    MOST_POINTS,
    extremes_figure,
    map_figure,
    traversals_figure,
)
from bench.inspection.rate_distortion import CurveSettings, TrainedPoint, write_curve
from bench.inspection.rate_distortion_figure import rate_distortion_figure
from bench.records.key import key_of
from bench.records.provenance import commit_label
from bench.records.tables import csv_text
from bench.report.png import figure_png
from bench.report.style import DPI, STYLE
from bench.runs.trained import Trained
from bench.system.files import write_atomically

BOUNDS = {
    "log_likelihood_lower": "simulated data: annealing from below, a lower bound",
    "log_likelihood_upper": "simulated data: annealing in reverse, an upper bound",
    "sandwich_gap": "simulated data: their difference, which contains the truth",
    "log_likelihood_annealed": "test images: annealing from below, a lower bound",
    "log_likelihood_importance": "test images: L_K with draws from the encoder's q, a lower bound",
    "upper_heuristic_chain": "test images: reverse annealing from long chains, no bound",
    "upper_heuristic_cubo": "test images: CUBO of the draws of L_K, no bound",
}
GAPS = {
    "log_likelihood_best_q": "log p(y): L_K with draws from the best q that was found",
    "elbo": "ELBO of the encoder's q",
    "inference_gap": "inference gap, their difference",
    "approximation_gap": "of it, approximation gap: the best q of this family is not the posterior",
    "amortization_gap": "of it, amortization gap: the encoder does not find the best q",
    "dequantization_gap": "of it, dequantization gap",
    "closed_by_full_covariance": "a normal with a full covariance would close of the approximation gap",
}


def write_inspection(folder: Path, trained: Trained, found: Inspected, command: str) -> None:
    """Write inspection.html, inspection.csv, rate-distortion.csv and figures/ into a folder.

    Args:
        folder: The folder.
        trained: The model and its run.
        found: What was found of it.
        command: How it was called, for the page.
    """
    from jinja2 import Environment, PackageLoader

    shape, levels = trained.data.shape, trained.data.task.levels
    title = f"{trained.name} on {trained.data.task.name}"
    trained_elsewhere: list[TrainedPoint] = []
    with matplotlib.rc_context(STYLE):
        drawn = {
            "rate-distortion": rate_distortion_figure(found.curve, trained_elsewhere, title),
            "extremes": extremes_figure(found.extremes, shape, levels),
            "latent-map": map_figure(found, names_of_classes(trained.data.task)),
            "traversals": traversals_figure(found, shape, levels),
        }
        pictures = {name: figure_png(figure, DPI) for name, figure in drawn.items()}
    environment = Environment(loader=PackageLoader("bench", "inspection"), autoescape=True)
    environment.trim_blocks = True
    page = environment.get_template("page.html").render(
        model=trained.name,
        task=trained.data.task.name,
        seed=trained.config["seed"],
        epoch=trained.epoch,
        prior=found.gaps.prior,
        posterior=found.gaps.posterior,
        images=found.gaps.elbo.n,
        commit=commit_label(),
        command=command,
        sections=sections_of(found, pictures),
    )
    for name, picture in pictures.items():
        write_atomically(folder / "figures" / f"{name}.png", picture)
    write_atomically(folder / "inspection.csv", csv_text(table_of(trained, found)))
    write_curve(
        folder / "rate-distortion.csv", found.curve, CurveSettings(data=found.curve[0].rate.n)
    )
    write_atomically(folder / "inspection.html", page)


def table_of(trained: Trained, found: Inspected) -> pd.DataFrame:
    """Return inspection.csv: a row for each quantity, in nats."""
    of_run = {
        "key": key_of(trained.config),
        "task": trained.data.task.name,
        "model": trained.name,
        "prior": found.gaps.prior,
        "posterior": found.gaps.posterior,
        "seed": trained.config["seed"],
        "commit": commit_label(),
    }
    rows = [
        {"quantity": name, "value": e.value, "stderr": e.stderr, "stderr_data": e.stderr_data}
        | {"n": e.n, "samples": e.samples}
        for name, e in found.columns.items()
        if e is not None
    ]
    return pd.DataFrame([of_run | row for row in rows])


def sections_of(found: Inspected, pictures: dict[str, bytes]) -> list[dict[str, object]]:
    """Return what the template shows of each part."""
    picture = lambda name: f"data:image/png;base64,{b64encode(pictures[name]).decode()}"
    k = found.extremes.pareto_k
    classes = (
        "coloured by class" if found.labels is not None else "whose classes are not on this machine"
    )
    return [
        {
            "title": "Bounds of log p(y) from both sides",
            "text": "On data that the model itself drew, an exact sample of the posterior is known, so annealing "
            "bounds log p(y) from below and from above. On test images there are lower bounds, the tightest of which "
            "is the highest, and two upper figures that are no bounds.",
            "rows": rows_of(found, BOUNDS),
        },
        {
            "title": "Where the bound loses",
            "text": "The inference gap is what the ELBO lacks to log p(y). A part of it is there because q is of a "
            "simple family, another because one encoder serves all images.",
            "rows": rows_of(found, GAPS),
        },
        {
            "title": "Rate and distortion",
            "text": "Every point is what the same prior and decoder could reach with another weight β of the KL: fewer "
            "nats of code (rate), and more nats of loss (distortion).",
            "figure": picture("rate-distortion"),
            "caption": "Rate is an upper bound. The grey line has the sum of rate and distortion that the model has "
            "at β = 1. Bars: two standard errors.",
        },
        {
            "title": "Worst and best images",
            "text": "By the shape k̂ of the tail of the importance weights: above 0.7 the encoder's q covers the "
            f"posterior badly. Here k̂ goes from {k.min().item():.2f} to {k.max().item():.2f}.",
            "figure": picture("extremes"),
            "caption": "Rows in pairs: a test image with its k̂, and its reconstruction with its gap between log p(y) "
            "and the ELBO in nats.",
        },
        {
            "title": "Latent space",
            "text": f"Means of q(z|y) of test images, {classes}, on their two principal axes.",
            "figure": picture("latent-map"),
            "caption": f"At most {MOST_POINTS:,} test images.",
        },
        {
            "title": "Traversals",
            "text": "What the decoder draws while one latent dimension moves over the middle 95 % of its posterior "
            "means and the others stay at their mean. The dimensions are those that tell images apart most.",
            "figure": picture("traversals"),
            "caption": "A row for each dimension, with its first and last value.",
        },
    ]


def rows_of(found: Inspected, names: dict[str, str]) -> list[dict[str, str]]:
    """Return name, value and error of each quantity that there is."""
    columns = found.columns
    return [
        {"name": words, **shown(estimate)}
        for name, words in names.items()
        if (estimate := columns[name]) is not None
    ]


def shown(estimate: Estimate) -> dict[str, str]:
    """Return a value and two standard errors, rounded to what the error allows."""
    if not estimate.stderr:
        return {"value": f"{estimate.value:.2f}", "error": "not known"}
    decimals = 2
    while decimals < 4 and 2 * estimate.stderr < 0.5 * 10.0**-decimals:
        decimals += 1
    return {
        "value": f"{estimate.value:.{decimals}f}",
        "error": f"{2 * estimate.stderr:.{decimals}f}",
    }
