"""Consistency of a record: numbers that follow from one another agree.

A checksum shows that a record is as it was written. It shows neither who wrote it, nor that anything
was run. A record that is refused here cannot be the outcome of a run.
"""

from collections.abc import Mapping, Sequence
from math import inf, log

from bench.errors import InputError
from bench.records.types import SPLITS, EstimateRecord, Record, TableRecord
from bench.settings import Split

# Terms of an identity are means of the same float64 numbers and differ by the rounding of sums.
ROUNDING = 1e-6
# The inference gap uses the model's own ELBO in float32.
ROUNDING_SINGLE = 1e-4
# The accuracy of q_agg, in nats: with an exact one no datum's mutual information exceeds log n.
AGGREGATE = 1e-3
# What identifies the data of a task.
DATA = ("payload_sha256", "split_sha256", "dimensions", "levels", "sizes")
# The same of newer records; two runs are compared by it if both have it.
SEEN = "images_sha256"
# A number, what it equals in words, and {term of that sum: factor}; log n, which no number gives, has none.
Identity = tuple[str, str, dict[str, float]]
SHARES = ("effective_sample_size_below_10", "pareto_k_above_threshold")


def contradiction_of(record: TableRecord) -> str | None:
    """Return in words which numbers of a checked record contradict each other; None if none do."""
    if record["status"] != "ok":
        return None
    for split in SPLITS:
        wrong = _wrong_identity(record, split) or _wrong_number(record, split)
        if wrong is not None:
            return f"on the {split} split {wrong}"
    return None


def check_consistent(record: Record) -> Record:
    """Return a record that does not contradict itself. Raises InputError if it does."""
    wrong = contradiction_of(record)
    if wrong is not None:
        raise InputError(
            f"record: run {record['key']} contradicts itself: {wrong}; no run can have written this"
        )
    return record


def check_same_data(records: Sequence[TableRecord]) -> None:
    """Raise InputError if two runs of one task used different data: one leaderboard compares them."""
    first: dict[tuple[str, bool], TableRecord] = {}
    for record in records:
        task, sees = record["task"], SEEN in record["data"]
        pairs = [
            (first.setdefault((task, False), record), DATA),
            (first.setdefault((task, True), record) if sees else record, (SEEN,)),
        ]
        for other, name in ((other, name) for other, names in pairs for name in names):
            if record["data"].get(name) != other["data"].get(name):
                raise InputError(
                    f"record: runs {other['key']} and {record['key']} of {record['task']} used "
                    f"different data ({name}), so their numbers cannot be compared; remove the run "
                    "with the wrong data from the folder, or from manifest.json"
                )


def identities(dimensions: int) -> list[Identity]:
    """Return the identities between numbers of a split, for data of this many dimensions."""
    nats = dimensions * log(2)
    return [
        ("bits_per_dim", "−log_likelihood / (D ln 2)", {"log_likelihood": -1 / nats}),
        ("log_n", "log n", {}),
        ("kl", "mutual_information + marginal_kl", {"mutual_information": 1, "marginal_kl": 1}),
        ("elbo", "reconstruction − kl", {"reconstruction": 1, "kl": -1}),
        ("inference_gap", "log_likelihood − elbo", {"log_likelihood": 1, "elbo": -1}),
    ]


def _wrong_identity(record: TableRecord, split: Split) -> str | None:
    metrics = record["metrics"][split]
    value = {name: part["value"] for name, part in metrics.items()}
    size = record["data"]["sizes"][split]
    bound = metrics.get("log_likelihood")
    # The gap is taken over the data of the bound, the ELBO over all data.
    is_over_all_data = bound is not None and bound["n"] == size
    for name, words, terms in identities(record["data"]["dimensions"]):
        if name not in value or not terms.keys() <= value.keys():
            continue
        is_gap = name == "inference_gap"
        if is_gap and not is_over_all_data:
            continue
        parts = [factor * value[term] for term, factor in terms.items()] or [log(size)]
        # Rounding is relative to the terms, which may be large and cancel.
        scale = max(1.0, abs(value[name]), *map(abs, parts))
        allowed = (ROUNDING_SINGLE if is_gap else ROUNDING) * scale
        if not abs(value[name] - sum(parts)) <= allowed:
            return f"{name} is {value[name]:.6g}, and not {words} = {sum(parts):.6g}"
    return None


def _wrong_number(record: TableRecord, split: Split) -> str | None:
    metrics, size = record["metrics"][split], record["data"]["sizes"][split]
    evaluation = record["config"].get("evaluation")
    information = metrics.get("mutual_information")
    if information is not None and not information["value"] <= log(size) + AGGREGATE:
        return (
            f"mutual_information is {information['value']:.6g}, more than log n = {log(size):.6g}"
        )
    bound = metrics.get("log_likelihood")
    if bound is None or not bound["samples"] or not isinstance(evaluation, dict):
        return None  # an exact number has no samples, and is taken over all data
    wrong = _wrong_diagnostic(metrics, bound["samples"])
    if wrong is not None:
        return wrong
    samples, data = evaluation.get("importance_samples"), evaluation.get("importance_data")
    if split == "train":
        data = evaluation.get("importance_data_train") or data
    if isinstance(samples, int) and bound["samples"] != samples:
        return f"log_likelihood has samples = {bound['samples']}, its configuration {samples}"
    if isinstance(data, int) and bound["n"] != min(data, size):
        return f"log_likelihood has n = {bound['n']}, its configuration {min(data, size)}"
    return None


def _wrong_diagnostic(metrics: Mapping[str, EstimateRecord], samples: int) -> str | None:
    limits = {name: (0.0, 1.0) for name in SHARES}
    limits["effective_sample_size_median"] = (1.0, float(samples))
    limits["bound_rise"] = (0.0, inf)
    for name, (low, high) in limits.items():
        part = metrics.get(name)
        if part is not None and not low - ROUNDING <= part["value"] <= high * (1 + ROUNDING):
            return f"{name} is {part['value']:.6g}, outside [{low:g}, {high:g}]"
    return None
