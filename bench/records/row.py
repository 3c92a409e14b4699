"""From a record to its rows of runs.csv, one for each split."""

import hashlib
import json

from bench.records.columns import ESTIMATES

METRICS = tuple(column.name for column in ESTIMATES)
SPLITS = ("train", "test")


def row_of(record: dict, sweep: str, split: str) -> dict:
    """Return the row of runs.csv for one split of a run; what was not measured is None."""
    config, data = record["config"], record["data"]
    metrics = record.get("metrics", {}).get(split, {})
    value = {name: metrics.get(name, {}).get("value") for name in METRICS}
    bound = metrics.get("log_likelihood", {})
    first = {
        "key": record["key"],
        "sweep": sweep,
        "task": record["task"],
        "model": record["model"],
        "decoder": record.get("decoder") or None,
        "prior": record.get("prior") or None,
        "seed": record["seed"],
        "split": split,
        "status": record["status"],
        "dimensions": data["dimensions"],
        "levels": data["levels"],
        "n": data["sizes"][split],
        "parameters": record.get("parameters"),
        "epochs": record.get("epochs"),
        "importance_samples": bound.get("samples"),
        "bits_per_dim": value.pop("bits_per_dim"),
        "bits_per_dim_stderr": metrics.get("bits_per_dim", {}).get("stderr"),
    }
    provenance = {
        "beta": config["trainer"]["beta"],
        "importance_data": bound.get("n"),
        "commit": record["environment"].get("commit"),
        "data_sha256": data_hash(data),
        "config_sha256": record["key"],
        "dirty": dirty_of(record["environment"]),
    }
    return first | value | provenance


def dirty_of(environment: dict) -> bool | None:
    """Return whether a run's code was not that of its commit; None if nobody knows."""
    dirty = environment.get("dirty")
    return dirty if isinstance(dirty, bool) else None


def data_hash(data: dict) -> str:
    """Return one hash for a task's raw payloads and its splits."""
    content = json.dumps([data["payload_sha256"], data["split_sha256"]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
