"""A worker's part of the claims: train a run unless that is done, and measure it."""

from pathlib import Path

import torch

from bench.claims.curves import Curve
from bench.claims.evidence import (
    dequantization_rows,
    importance_ladder,
    ladder_curve,
    ladder_rows,
    naive_rows,
)
from bench.claims.flow import flow_rows
from bench.claims.items import TrainedItem
from bench.claims.levels import unseen_levels
from bench.claims.measurements import Measurement, Outcome
from bench.claims.optimal_prior import exemplar_curves, sample_grids, swap_rows
from bench.claims.posterior_gaps import posterior_gaps
from bench.claims.rows import Row, Subject
from bench.models.vae import VAE
from bench.noise import derive_seed
from bench.records.record import read_record, record_path
from bench.records.types import Record
from bench.runs.run import run
from bench.runs.trained import Trained, load_trained
from bench.settings import Progress
from bench.system.determinism import deterministic
from bench.system.devices import Reserved, devices_for
from bench.training.checkpoints import BEST
from bench.training.fit import silence_lightning


def is_trained(directory: Path) -> bool:
    """Tell whether a run's folder holds its record and the checkpoint of the recorded numbers."""
    return (directory / "record.json").is_file() and (directory / BEST).is_file()


def train_and_measure(item: TrainedItem, progress: Progress, gpus: Reserved) -> Outcome:
    """Train a run unless that is done, and measure it.

    Args:
        item: The run.
        progress: Called with progress.
        gpus: The GPUs that are reserved for it.
    """
    directory = Path(item.job.directory)
    record: Record | None = None
    if is_trained(directory):
        record = read_record(record_path(directory.parent, item.key))
    if record is None or record["status"] != "ok":
        record = run(item.job, progress, gpus)
    if record["status"] != "ok":
        return {"record": record, "measurement": None}
    progress("measure", 0.0, "")
    return {"record": record, "measurement": measure(item, record, gpus)}


def measure(item: TrainedItem, record: Record, gpus: Reserved) -> Measurement:
    """Return the rows and curves of a trained run."""
    silence_lightning()
    deterministic()
    torch.set_num_threads(item.job.config["trainer"]["threads"])
    trained = load_trained(Path(item.job.directory) / BEST)
    place = devices_for(1, gpus)[0]
    device = place.type
    if device == "cuda":
        torch.cuda.set_device(place)
    trained.model.to(device).eval()
    trained.model.attach(trained.data.train.to(device))
    subject = Subject(record["task"], item.job.model, record["seed"], record["key"])
    rows, curves = measured(item, trained, record, device, subject)
    return {"rows": [row.plain() for row in rows], "curves": curves}


def measured(
    item: TrainedItem, trained: Trained, record: Record, device: str, subject: Subject
) -> tuple[list[Row], list[Curve]]:
    """Return the rows and curves of the claims that a run is measured for."""
    model, data = trained.model, trained.data
    claims, seed = set(item.claims), derive_seed(record["seed"], "claims")
    y = data.test[: item.images].to(device)
    rows: list[Row] = []
    curves: list[Curve] = []
    if claims & {2, 3, 6} and model.bound == "upper":
        ladder = importance_ladder(model, y, seed)
        if 2 in claims:
            rows += ladder_rows(ladder, subject)
        if 3 in claims:
            rows += naive_rows(model, y, seed, subject)
        if 6 in claims:
            rows += dequantization_rows(model, y, seed, ladder, subject)
        curves.append(ladder_curve(ladder, subject, data.dimensions))
    if 8 in claims:
        more, by_level = unseen_levels(model, data, y, seed, subject)
        rows += more
        curves += by_level
    if 9 in claims:
        rows += flow_rows(model, y, seed, subject)
    if 11 in claims and isinstance(model, VAE):
        # The noise of the recorded evaluation, so that the identity holds up to rounding.
        evaluation = derive_seed(record["seed"], "evaluation")
        rows += swap_rows(model, data, record, evaluation, device, subject)
        more, gains = exemplar_curves(model, data, item.images, evaluation, device, subject)
        rows += more
        curves += gains
        curves.append(sample_grids(model, data, evaluation, device, subject))
    if 13 in claims and isinstance(model, VAE):
        more, of_run = posterior_gaps(model, y, seed, subject)
        rows += more
        curves.append(of_run)
    return rows, curves
