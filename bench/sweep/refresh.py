"""`bench evaluate --refresh`: a recorded run's numbers taken again from its checkpoint."""

from pathlib import Path
from typing import cast

from bench.errors import InputError
from bench.records.consistency import check_consistent
from bench.records.key import key_of
from bench.records.provenance import describe_data, environment
from bench.records.record import read_record, record_path
from bench.records.row import payload_hash
from bench.records.types import SPLITS, Record
from bench.runs.run import evaluate_model
from bench.runs.trained import Trained
from bench.settings import Progress
from bench.sweep.folder import write_or_refuse
from bench.sweep.tolerances import tolerance


def refresh(trained: Trained, directory: Path, device: str, progress: Progress) -> Record:
    """Evaluate a run again and put its new estimates into its record; return the record.

    Estimates that later versions added are then in the record of an earlier run. Those that it had
    must agree with the new ones, because they are of the same weights and the same noise.

    Args:
        trained: The run's checkpoint.
        directory: The sweep's folder, which holds runs/KEY/record.json.
        device: cpu or cuda.
        progress: Called with the progress of the evaluation.

    Raises:
        InputError: The sweep has no such record, its data are others, or an estimate that it has
            differs by more than the Monte-Carlo error from the new one.
    """
    key = key_of(trained.config)
    path = record_path(directory / "runs", key)
    if not path.is_file():
        raise InputError(f"refresh: {directory} has no record of run {key}")
    record = check_consistent(read_record(path))
    if record["status"] != "ok":
        raise InputError(f"refresh: run {key} failed, so that its record has no numbers")
    data = describe_data(trained.data)
    if payload_hash(data) != payload_hash(record["data"]):
        raise InputError(f"refresh: run {key} was made with other data than are here")
    metrics, _ = evaluate_model(trained.model, trained.data, trained.config, device, progress)
    again: Record = {
        **record,
        "metrics": metrics,
        "data": {**record["data"], "images_sha256": data["images_sha256"]},
        "evaluated_with": environment(device),
    }
    changed = disagreement(record, again)
    if changed is not None:
        raise InputError(f"refresh: run {key}: {changed}; its record is left as it is")
    write_or_refuse(directory, cast(Record, {k: v for k, v in again.items() if k != "checksum"}))
    return again


def disagreement(old: Record, new: Record) -> str | None:
    """Return in words an estimate of the old record from which the new one differs; None if none does."""
    for split in SPLITS:
        for name, estimate in old["metrics"][split].items():
            if name not in new["metrics"][split]:
                return f"{split} {name} is not measured any more"
            now = new["metrics"][split][name]["value"]
            if not abs(now - estimate["value"]) <= tolerance(new, split, name, (), True):
                return f"{split} {name} is {now:.6g}, and {estimate['value']:.6g} in the record"
    return None
