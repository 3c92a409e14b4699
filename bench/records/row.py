"""Rows of runs.csv, made from a record: one for each split."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from math import isnan

from bench.records.run_columns import ESTIMATES
from bench.records.types import Config, Environment, EstimateRecord, PluginRecord, TableRecord
from bench.settings import Split

METRICS = tuple(column.name for column in ESTIMATES)
# One plugin of a cell.
PLUGIN = re.compile(r"(.+?)(?: \(version (.+?)\))? sha256:([0-9a-f]{64})(?:; |$)")
Cell = str | int | float | None
Row = dict[str, Cell]


def estimates_of(record: TableRecord, split: Split) -> dict[str, EstimateRecord]:
    """Return a run's estimates on a split by name; a failed run has none."""
    return record["metrics"].get(split, {}) if "metrics" in record else {}


def values_of(record: TableRecord, split: Split) -> dict[str, float | None]:
    """Return {estimate: value} for every estimate in the tables' order; None where there is none."""
    estimates = estimates_of(record, split)
    return {name: estimates[name]["value"] if name in estimates else None for name in METRICS}


def bits_per_dim_stderr(record: TableRecord, split: Split) -> float | None:
    """Return the Monte-Carlo standard error of a run's bits/dim; None where it is not known."""
    bits = estimates_of(record, split).get("bits_per_dim")
    return None if bits is None else bits.get("stderr")


def bound_rise_stderr(record: TableRecord, split: Split) -> float | None:
    """Return the standard error of the rise of a run's bound, as a mean over the data."""
    rise = estimates_of(record, split).get("bound_rise")
    return None if rise is None else rise.get("stderr_data")


def population_stderr(record: TableRecord, split: Split) -> float | None:
    """Return the standard error of a run's log-likelihood for the population of images."""
    bound = estimates_of(record, split).get("log_likelihood")
    return None if bound is None else bound.get("stderr_data")


def importance_samples(record: TableRecord, split: Split) -> int | None:
    """Return K of a run's bound L_K, 0 where the log-likelihood is exact; None for a failed run."""
    bound = estimates_of(record, split).get("log_likelihood")
    return None if bound is None else bound.get("samples")


def samples_text(samples: Iterable[float]) -> str:
    """Return what bits/dim of these K are, for readers: "K = 100", or "exact" where K is 0."""
    known = sorted({int(k) for k in samples if not isnan(k)})
    bounds = " and ".join(str(k) for k in known if k > 0)
    return ", ".join(["exact"] * (0 in known) + [f"K = {bounds}"] * bool(bounds))


def importance_data(record: TableRecord, split: Split) -> int | None:
    """Return the number of data that a run's log-likelihood is a mean over; None for a failed run."""
    bound = estimates_of(record, split).get("log_likelihood")
    return None if bound is None else bound.get("n")


def row_of(record: TableRecord, sweep: str, split: Split) -> Row:
    """Return the row of runs.csv for one split of a run; what was not measured is None."""
    data = record["data"]
    values = values_of(record, split)
    first: Row = {
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
        "importance_samples": importance_samples(record, split),
        "bits_per_dim": values.pop("bits_per_dim"),
        "bits_per_dim_stderr": bits_per_dim_stderr(record, split),
    }
    provenance: Row = {
        "bound_rise_stderr": bound_rise_stderr(record, split),
        "log_likelihood_population_stderr": population_stderr(record, split),
        "beta": record["config"]["trainer"]["beta"],
        "importance_data": importance_data(record, split),
        "payload_sha256": payload_hash(data),
        "commit": record["environment"].get("commit"),
        "data_sha256": data_hash(data),
        "config_sha256": record["key"],
        "dirty": dirty_of_run(record),
        "device": device_of(record["environment"]),
        "plugin": plugins_text(record["config"]),
    }
    return first | values | provenance


def plugins_text(config: Config) -> str | None:
    """Return the plugins of a run's configuration in words; None if all parts are of this code."""
    names = (
        f"{p['name']}{version_text(p)} sha256:{p['sha256']}" for p in config.get("plugins", [])
    )
    return "; ".join(names) or None


def version_text(plugin: PluginRecord) -> str:
    return f" (version {plugin['version']})" if plugin["version"] else ""


def plugins_of(text: str | None) -> Config:
    """Return the part of a configuration from which ``plugins_text`` makes this text."""
    found = PLUGIN.findall(text or "")
    plugins = [{"name": name, "version": v or None, "sha256": sha256} for name, v, sha256 in found]
    return {"plugins": plugins} if plugins else {}


def dirty_of_run(record: TableRecord) -> bool | None:
    """Tell whether the code of a run's training, or of a later evaluation, differed from its commit."""
    training, evaluation = record["environment"], record.get("evaluated_with", {})
    return True if dirty_of(evaluation) else dirty_of(training)


def dirty_of(environment: Environment) -> bool | None:
    """Tell whether a run's code differed from its commit; None if that is not known."""
    dirty = environment.get("dirty")
    return dirty if isinstance(dirty, bool) else None


def device_of(environment: Environment) -> str | None:
    """Return the kind of device that a run computed on: cpu, or the GPU's name; None if not known."""
    return environment["gpu"] or "cpu" if "gpu" in environment else None


def data_hash(data: Mapping[str, object]) -> str:
    """Return the hash of the images that a run has seen, from its record's ``data``.

    The first records have none; theirs is the hash of payloads and splits.
    """
    images = data.get("images_sha256")
    return images if isinstance(images, str) else payload_hash(data)


def payload_hash(data: Mapping[str, object]) -> str:
    """Return one hash of the hashes of a task's payloads and splits, as a record's ``data`` has them."""
    content = json.dumps([data["payload_sha256"], data["split_sha256"]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
