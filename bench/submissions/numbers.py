"""The numbers of a submission: refused where they contradict themselves or their task."""

import hashlib
from dataclasses import dataclass
from math import log
from typing import cast

import pandas as pd

from bench.configuration.files import named_task, names
from bench.data.tasks import load_task
from bench.errors import InputError
from bench.records.consistency import Identity, check_consistent, identities
from bench.records.provenance import describe_data
from bench.records.row import data_hash, payload_hash
from bench.records.types import DataRecord, EstimateRecord, Record, TableRecord
from bench.submissions.description import SeedClaim, Submission
from bench.sweep.verdicts import has_same_data

# Nats by which a number may be beyond its bound, beside its error: rounding, and the accuracy of q_agg.
SLACK = 0.01
# Standard errors by which it may.
CERTAIN = 5.0
# The ELBO of a claim that gives the parts of its KL, and not the KL.
WITHOUT_KL: Identity = (
    "elbo",
    "reconstruction − mutual_information − marginal_kl",
    {"reconstruction": 1, "mutual_information": -1, "marginal_kl": -1},
)
# L_1 is the ELBO on other draws: by how much of it the two may differ.
L_1 = 0.01


@dataclass(frozen=True)
class TaskFacts:
    """What is known of a task.

    Attributes:
        name: The task.
        dimensions: D.
        levels: L.
        test_images: Number n of test images.
        images_sha256: Hash of the images of all splits; of an older table, of payloads and splits.
        payload_sha256: Hash of payloads and splits; None if not known.
    """

    name: str
    dimensions: int
    levels: int
    test_images: int
    images_sha256: str | None
    payload_sha256: str | None


def facts_of(task: str, runs: pd.DataFrame | None) -> TaskFacts:
    """Return what is known of a task: from the board's own runs, else from the data itself.

    Raises:
        InputError: The task is unknown, or its data is not here.
    """
    if runs is not None:
        own = runs[(runs["task"] == task) & (runs["split"] == "test")]
        if len(own):
            newest = own[own["payload_sha256"].notna()]
            row = (newest if len(newest) else own).iloc[0]
            text = lambda name: None if pd.isna(row[name]) else str(row[name])
            counts = (int(row["dimensions"]), int(row["levels"]), int(row["n"]))
            return TaskFacts(task, *counts, text("data_sha256"), text("payload_sha256"))
    return recorded_facts(task, describe_data(load_task(named_task(configuration_of(task)))))


def recorded_facts(task: str, data: DataRecord) -> TaskFacts:
    """Return what a record's ``data`` tells of its task."""
    counts = (data["dimensions"], data["levels"], data["sizes"]["test"])
    return TaskFacts(task, *counts, data_hash(data), payload_hash(data))


def configuration_of(task: str) -> str:
    """Return the name under configs/data of a task. Raises InputError if there is none."""
    known = {named_task(name).name: name for name in names("data")}
    if task not in known:
        raise InputError(
            f"task: '{task}' is neither a task of the board nor of the benchmark: {', '.join(known)}"
        )
    return known[task]


def checked_records(submission: Submission, facts: TaskFacts) -> list[TableRecord]:
    """Return what a leaderboard needs of each seed.

    Raises:
        InputError: A number contradicts another one, the task, or a bound.
    """
    records = [checked_record(submission, claim, facts) for claim in submission.seeds]
    if not any(record["status"] == "ok" for record in records):
        raise InputError("seeds: all of them failed")
    first = next(record for record in records if record["status"] == "ok")
    for record in records:
        if record["status"] == "ok" and record["bound"] != first["bound"]:
            raise InputError("seeds: some have an exact number and others a bound")
    return records


def checked_record(submission: Submission, claim: SeedClaim, facts: TaskFacts) -> TableRecord:
    what = f"seed {claim.seed}"
    if claim.record is None:
        return claimed_record(submission, claim, facts)
    record = check_consistent(claim.record)
    check_data(record, facts, what)
    if record["status"] == "ok":
        if record["bound"] == "none":
            raise InputError(
                f"{what}: was trained without dequantization: its numbers bound nothing"
            )
        test = record["metrics"]["test"]
        check_bounds(test, facts, what)
        check_agreement(claim.numbers, test, what, "its record")
    return named(record, submission.name)


def named(record: Record, name: str) -> TableRecord:
    """Return a record under the name that its row has."""
    return cast(TableRecord, {**record, "model": name})


def check_data(record: Record, facts: TaskFacts, what: str) -> None:
    """Raise InputError unless a record is of the task's own images."""
    data = record["data"]
    for name, own, theirs in (
        ("D", facts.dimensions, data["dimensions"]),
        ("the number of levels", facts.levels, data["levels"]),
        ("n", facts.test_images, data["sizes"]["test"]),
    ):
        if own != theirs:
            raise InputError(f"{what}: {name} is {theirs}, and {own} in {facts.name}")
    images = data_hash(data)
    known = pd.Series({"data_sha256": facts.images_sha256, "payload_sha256": facts.payload_sha256})
    if not has_same_data(known, images, payload_hash(data)):
        raise InputError(
            f"{what}: its data has the hash {images[:16]}…, and that of {facts.name} is "
            f"{str(facts.images_sha256)[:16]}…"
        )


def check_bounds(test: dict[str, EstimateRecord], facts: TaskFacts, what: str) -> None:
    """Raise InputError if an estimate is beyond what bounds it, by more than its error."""
    value = {name: part["value"] for name, part in test.items()}
    error = lambda name: CERTAIN * (test[name].get("stderr") or 0.0) + SLACK
    information, most = value.get("mutual_information"), log(facts.test_images)
    if information is not None and information > most + SLACK:
        raise InputError(
            f"{what}: mutual_information is {information:.6g}, more than log n = {most:.6g}"
        )
    for name in ("mutual_information", "marginal_kl", "kl"):
        if name in value and value[name] < -error(name):
            raise InputError(f"{what}: {name} is {value[name]:.6g}; it is not negative")
    if {"elbo", "log_likelihood"} <= value.keys():
        both = test["elbo"], test["log_likelihood"]
        is_known = both[1].get("stderr") is not None and both[0].get("n") == both[1].get("n")
        allowed = error("elbo") + error("log_likelihood")
        if is_known and value["elbo"] > value["log_likelihood"] + allowed:
            raise InputError(
                f"{what}: elbo is {value['elbo']:.6g}, above the log_likelihood "
                f"{value['log_likelihood']:.6g} that it is a lower bound of"
            )


def check_agreement(
    numbers: dict[str, float], test: dict[str, EstimateRecord], what: str, source: str
) -> None:
    """Raise InputError if a number differs from the same one elsewhere by more than its rounding."""
    for name, value in numbers.items():
        other = test.get(name)
        if other is None or abs(value - other["value"]) > rounding_of(value) * 1.01 + 1e-9:
            found = "no such number" if other is None else f"{other['value']:.6g}"
            raise InputError(f"{what}: {name} is {value:.6g}, and {source} has {found}")


def claimed_record(submission: Submission, claim: SeedClaim, facts: TaskFacts) -> TableRecord:
    """Return what a leaderboard needs of a seed of which there are numbers alone.

    Raises:
        InputError: They contradict each other or the task, or nobody said at which K they are.
    """
    says, what = submission.says, f"seed {claim.seed}"
    for name, own in (("test_images", facts.test_images), ("data_sha256", facts.images_sha256)):
        if says.get(name, own) != own:
            raise InputError(f"{name}: is {says[name]}, and {own} in {facts.name}")
    samples, data = says.get("importance_samples"), says.get("importance_data", facts.test_images)
    if samples is None:
        raise InputError("importance_samples: K of the bound is missing; 0 of an exact likelihood")
    bound = says.get("bound", "upper" if samples else "exact")
    if (bound == "exact") != (samples == 0):
        raise InputError(f"bound: is {bound}, and importance_samples {samples}; an exact one has 0")
    if data > facts.test_images:
        raise InputError(f"importance_data: {data} of {facts.test_images} test images")
    metrics = {} if claim.failed else checked_numbers(claim, facts, samples, data, what)
    digest = hashlib.sha256(f"{submission.sha256}:{claim.seed}".encode()).hexdigest()
    record = {
        "key": digest[:16],
        "task": facts.name,
        "model": submission.name,
        "seed": claim.seed,
        "status": "failed" if claim.failed else "ok",
        "reason": claim.failed or "",
        "bound": bound,
        "config": {"trainer": {"beta": None}},
        "data": {
            "dimensions": facts.dimensions,
            "levels": facts.levels,
            "sizes": {"test": facts.test_images},
            "payload_sha256": {},
            "split_sha256": "",
            # Where it was not said, it is not known.
            "images_sha256": says.get("data_sha256", ""),
        },
        "environment": {},
        "timing": {},
        "metrics": {"test": metrics},
    }
    return cast(TableRecord, record)


def checked_numbers(
    claim: SeedClaim, facts: TaskFacts, samples: int, data: int, what: str
) -> dict[str, EstimateRecord]:
    """Return the estimates of a seed, after their checks."""
    given, nats = dict(claim.numbers), facts.dimensions * log(2)
    for identity in (*identities(facts.dimensions), WITHOUT_KL):
        check_identity(given, what, identity)
    likelihood = given.setdefault("log_likelihood", -given.get("bits_per_dim", 0.0) * nats)
    given["bits_per_dim"] = -likelihood / nats
    if samples == 1 and abs(likelihood - given.get("elbo", likelihood)) > L_1 * abs(likelihood):
        raise InputError(
            f"{what}: log_likelihood is {likelihood:.6g} and elbo {given['elbo']:.6g}, which for K = 1 "
            "are estimates of one number"
        )
    if given["bits_per_dim"] < 0:
        raise InputError(f"{what}: bits_per_dim is negative: a probability is more than 1")
    if "mutual_information" in given:
        given["log_n"] = log(facts.test_images)
    test: dict[str, EstimateRecord] = {}
    for name, value in given.items():
        is_bound = name in ("log_likelihood", "bits_per_dim")
        error = claim.error if name == "log_likelihood" else None
        if name == "bits_per_dim" and claim.error is not None:
            error = claim.error / nats
        if name == "log_likelihood" and not samples:
            error = 0.0
        n = data if is_bound else facts.test_images
        test[name] = {"value": value, "stderr": error, "n": n, "samples": samples}
    # A hand-written error is often not there: rounding alone is allowed then.
    likelihood_part: EstimateRecord = {**test["log_likelihood"], "stderr": claim.error or 0.0}
    check_bounds({**test, "log_likelihood": likelihood_part}, facts, what)
    return test


def check_identity(given: dict[str, float], what: str, identity: Identity) -> None:
    """Raise InputError if a number is not the sum of its terms, up to the digits that were written."""
    name, words, terms = identity
    if name not in given or not terms.keys() <= given.keys():
        return
    total = sum(factor * given[term] for term, factor in terms.items())
    allowed = rounding_of(given[name])
    allowed += sum(abs(factor) * rounding_of(given[term]) for term, factor in terms.items())
    if not abs(given[name] - total) <= 1.01 * allowed + 1e-6 * max(1.0, abs(total)):
        raise InputError(f"{what}: {name} is {given[name]:.6g}, and not {words} = {total:.6g}")


def rounding_of(value: float) -> float:
    """Return half a unit of the last decimal that a number is written with, at most 0.05.

    A number without decimals is taken to have one, which a final zero may have been.
    """
    digits = repr(value).lower().partition("e")[0].partition(".")[2]
    return float(0.5 * 10.0 ** -max(len(digits), 1))
