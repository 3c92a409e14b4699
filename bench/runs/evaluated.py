"""A trained model evaluated again, without training, and the record of that."""

from typing import cast

from bench.records.key import key_of
from bench.records.provenance import describe_data, environment
from bench.records.types import Record
from bench.runs.run import describe_model, evaluate_model
from bench.runs.trained import Trained
from bench.settings import Progress


def evaluated_again(trained: Trained, progress: Progress) -> Record:
    """Evaluate a trained model on the CPU as its configuration says, and return the record.

    Args:
        trained: What its checkpoint holds.
        progress: Called with the share that is done.
    """
    metrics, _ = evaluate_model(trained.model, trained.data, trained.config, "cpu", progress)
    record = {
        "key": key_of(trained.config),
        "config": trained.config,
        "task": trained.data.task.name,
        "model": trained.name,
        "seed": trained.config["seed"],
        **describe_model(trained.model),
        "epochs": trained.epoch,
        "best_epoch": trained.epoch,
        "history": [],
        "images": {},
        "latent": None,
        "metrics": metrics,
        "environment": environment("cpu"),
        "timing": {},
        "data": describe_data(trained.data),
    }
    return cast(Record, record)
