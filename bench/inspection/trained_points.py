"""Trained models beside a rate–distortion curve: the rate and the distortion of their encoders' q(z|y)."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.data.tasks import TaskData
from bench.errors import InputError
from bench.estimators.estimate import Estimate, mean_estimate
from bench.inspection.blocks import check_model
from bench.noise import Noise
from bench.records.key import key_of
from bench.records.types import EstimateRecord, Record
from bench.runs.trained import Trained

# Samples of q(z|y) for each image.
SAMPLES = 20
# What a figure can tell apart.
MOST_MODELS, MOST_BETAS = 12, 5


@dataclass(frozen=True)
class TrainedPoint:
    """A trained VAE: the rate and the distortion of its own encoder's q(z|y).

    Attributes:
        key: Its run's key.
        model: Its name in tables, without its β.
        seed: The seed of its training.
        beta: The weight of the KL in training.
        epochs: Epochs of its training; None if its record lacks them.
        weights: Number of its weights, likewise.
        rate: KL(q ‖ p), nats per image.
        distortion: −log p(y|z) under q, nats per image.
    """

    key: str
    model: str
    seed: int
    beta: float
    epochs: int | None
    weights: int | None
    rate: Estimate
    distortion: Estimate


def trained_points(records: Iterable[Record], data: TaskData) -> list[TrainedPoint]:
    """Return the points of the trained VAEs on a task, by model, β and seed, on its test split.

    Left out are other tasks, runs that failed, models without a KL, and densities without
    dequantization, whose distortion is not that of an integer image.

    Raises:
        InputError: There is none, one is of other images, or there are more models or β than a
            figure can tell apart.
    """
    found = {}
    for record in records:
        test = record["metrics"]["test"] if "metrics" in record else {}
        trainer = record["config"].get("trainer", {})
        usable = "kl" in test and "beta" in trainer and record["bound"] != "none"
        if record["task"] != data.task.name or not usable:
            continue
        check_images(record, data)
        found[record["key"]] = TrainedPoint(
            key=record["key"],
            model=without_beta(record["model"]),
            seed=record["seed"],
            beta=float(trainer["beta"]),
            epochs=record.get("epochs"),
            weights=record.get("parameters"),
            rate=estimate_of(test["kl"]),
            distortion=estimate_of(test["reconstruction"]).scaled(-1),
        )
    if not found:
        raise InputError(f"beside: no record in these folders is of a VAE on {data.task.name}")
    points = sorted(found.values(), key=lambda point: (point.model, point.beta, point.seed))
    check_few("models", len({point.model for point in points}), MOST_MODELS)
    check_few("values of β", len({point.beta for point in points}), MOST_BETAS)
    return points


def without_beta(name: str) -> str:
    return " ".join(word for word in name.split(" ") if not word.startswith("beta="))


def check_images(record: Record, data: TaskData) -> None:
    own = record["data"]
    if (own["payload_sha256"], own["split_sha256"]) != (data.payload_sha256, data.split_sha256):
        raise InputError(
            f"beside: run {record['key']} is of other images of {record['task']} than the checkpoint"
        )


def check_few(what: str, count: int, most: int) -> None:
    if count > most:
        raise InputError(
            f"beside: {count} {what}, and the figure has marks for {most}; give a folder with fewer"
        )


def estimate_of(number: EstimateRecord) -> Estimate:
    return Estimate(
        number["value"],
        number.get("stderr"),
        number["n"],
        number["samples"],
        number.get("stderr_data"),
    )


def encoder_point(trained: Trained, y: Tensor, seed: int) -> TrainedPoint:
    """Return the point of a model's own encoder on images y (n, D).

    The model is in evaluation mode and attached. Its weights can be trained before this call, and not after.

    Raises:
        InputError: The model is no VAE, or bounds nothing.
    """
    weights = sum(weight.numel() for weight in trained.model.parameters() if weight.requires_grad)
    model = check_model(trained.model)
    with torch.no_grad():
        terms = model.terms(y, Noise(seed, "encoder's point", device=y.device), SAMPLES)
    assert terms.log_prior is not None and terms.log_posterior is not None
    return TrainedPoint(
        key=key_of(trained.config),
        model=without_beta(trained.name),
        seed=trained.config["seed"],
        beta=float(trained.config["trainer"]["beta"]),
        epochs=trained.epoch,
        weights=weights,
        rate=mean_estimate((terms.log_posterior - terms.log_prior).double()),
        distortion=mean_estimate(-terms.reconstruction.double()),
    )
