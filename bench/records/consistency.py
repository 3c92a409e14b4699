"""Whether a record says one thing: numbers that follow from each other do, whoever wrote them.

A checksum tells that a record is as it was written, not who wrote it, nor that anything was run.
What is refused here cannot have come out of a run at all.
"""

from math import log

from bench.errors import InputError

SPLITS = ("train", "test")
# Parts of an identity are means of the same float64 numbers: what is left is the rounding of sums.
ROUNDING = 1e-6
# Of the inference gap's ELBO, which is the model's own in float32.
ROUNDING_SINGLE = 1e-4
# The accuracy of q_agg, in nats: with an exact one no datum's mutual information exceeds log n.
AGGREGATE = 1e-3
# What makes the data of a task.
DATA = ("payload_sha256", "split_sha256", "dimensions", "levels", "sizes")


def contradiction_of(record: dict) -> str | None:
    """Return which numbers of a record contradict each other, in words; None if none do.

    Args:
        record: One that ``bench.records.record.read_record`` has read.
    """
    if record["status"] != "ok":
        return None
    for split in SPLITS:
        wrong = _wrong_identity(record, split) or _wrong_number(record, split)
        if wrong is not None:
            return f"on the {split} split {wrong}"
    return None


def check_consistent(record: dict) -> dict:
    """Return a record that does not contradict itself. Raises InputError if it does."""
    wrong = contradiction_of(record)
    if wrong is not None:
        raise InputError(
            f"record: run {record['key']} contradicts itself: {wrong}; no run has written this"
        )
    return record


def check_same_data(records: list[dict]) -> None:
    """Raise InputError if runs of one task had other data: they are no rows of one leaderboard."""
    first: dict[str, dict] = {}
    for record in records:
        other = first.setdefault(record["task"], record)
        for name in DATA:
            if record["data"][name] != other["data"][name]:
                raise InputError(
                    f"record: runs {other['key']} and {record['key']} of {record['task']} have "
                    f"other data ({name}), so that their numbers cannot be compared; take the one "
                    "with the wrong data out of the folder, or out of manifest.json"
                )


def _wrong_identity(record: dict, split: str) -> str | None:
    value = {name: part["value"] for name, part in record["metrics"][split].items()}
    size = record["data"]["sizes"][split]
    nats = record["data"]["dimensions"] * log(2)
    # The gap is over the data of the bound, the ELBO over all.
    whole = record["metrics"][split].get("log_likelihood", {}).get("n") == size
    identities = (
        ("bits_per_dim", "−log_likelihood / (D ln 2)", {"log_likelihood": -1 / nats}),
        ("log_n", "log n", {}),
        ("kl", "mutual_information + marginal_kl", {"mutual_information": 1, "marginal_kl": 1}),
        ("elbo", "reconstruction − kl", {"reconstruction": 1, "kl": -1}),
        ("inference_gap", "log_likelihood − elbo", {"log_likelihood": 1, "elbo": -1}),
    )
    for name, words, terms in identities:
        if name not in value or not terms.keys() <= value.keys():
            continue
        is_gap = name == "inference_gap"
        if is_gap and not whole:
            continue
        parts = [factor * value[term] for term, factor in terms.items()] or [log(size)]
        # Rounding is relative to the terms, which may be large and cancel.
        scale = max(1.0, abs(value[name]), *map(abs, parts))
        allowed = (ROUNDING_SINGLE if is_gap else ROUNDING) * scale
        if not abs(value[name] - sum(parts)) <= allowed:
            return f"{name} is {value[name]:.6g}, and not {words} = {sum(parts):.6g}"
    return None


def _wrong_number(record: dict, split: str) -> str | None:
    metrics, size = record["metrics"][split], record["data"]["sizes"][split]
    evaluation = record["config"].get("evaluation")
    information = metrics.get("mutual_information")
    if information is not None and not information["value"] <= log(size) + AGGREGATE:
        return (
            f"mutual_information is {information['value']:.6g}, more than log n = {log(size):.6g}"
        )
    bound = metrics.get("log_likelihood")
    if bound is None or not bound["samples"] or not isinstance(evaluation, dict):
        return None  # an exact number has neither samples nor a choice of data
    few = split == "train" and evaluation.get("importance_data_train")
    asked = {
        "samples": evaluation.get("importance_samples"),
        "n": few or evaluation.get("importance_data"),
    }
    for name, number in asked.items():
        if isinstance(number, int):
            number = min(number, size) if name == "n" else number
            if bound[name] != number:
                return f"log_likelihood has {name} = {bound[name]}, its configuration {number}"
    return None
