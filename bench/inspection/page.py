"""What ``bench inspect`` writes: a page, its numbers as CSV, its curve as CSV, its figures as PNG."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd

from bench.data.labels import names_of_classes
from bench.inspection.inspected import Inspected
from bench.inspection.pictures import extremes_figure, map_figure, traversals_figure
from bench.inspection.rate_distortion import CurveSettings
from bench.inspection.rate_distortion_figure import rate_distortion_figure
from bench.inspection.rate_distortion_table import curve_table
from bench.inspection.sections import sections_of
from bench.inspection.trained_points import TrainedPoint
from bench.records.key import key_of
from bench.records.provenance import commit_label
from bench.records.tables import csv_text
from bench.report.png import figure_png
from bench.report.style import DPI, STYLE
from bench.runs.trained import Trained
from bench.system.files import write_atomically


def write_inspection(
    folder: Path,
    trained: Trained,
    found: Inspected,
    beside: Sequence[TrainedPoint],
    command: str,
) -> None:
    """Write inspection.html, inspection.csv, rate-distortion.csv and figures/ into a folder.

    Args:
        folder: The folder.
        trained: The model and its run.
        found: What was found of it.
        beside: Models that are shown beside its curve.
        command: How it was called, for the page.
    """
    from jinja2 import Environment, PackageLoader

    shape, levels = trained.data.shape, trained.data.task.levels
    title = f"{trained.name} on {trained.data.task.name}"
    with matplotlib.rc_context(STYLE):
        drawn = {
            "rate-distortion": rate_distortion_figure(found.curve, found.encoder, beside, title),
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
        commit=commit_label() or "of no commit",
        command=command,
        sections=sections_of(found, beside, pictures),
    )
    for name, picture in pictures.items():
        write_atomically(folder / "figures" / f"{name}.png", picture)
    write_atomically(folder / "inspection.csv", csv_text(table_of(trained, found)))
    curve = curve_table(found.curve, CurveSettings(), [found.encoder, *beside])
    write_atomically(folder / "rate-distortion.csv", csv_text(curve))
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
