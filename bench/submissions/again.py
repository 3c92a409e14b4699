"""A submission's numbers made here: from its weights, or by training again."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

from bench.errors import InputError
from bench.records.consistency import check_consistent
from bench.records.key import key_of
from bench.records.provenance import code_version
from bench.records.schema import problem_of
from bench.records.tables import csv_text, parse_runs
from bench.records.types import Record
from bench.report.reduce import runs_table
from bench.settings import EvaluationConfig
from bench.submissions.closed import done_closed
from bench.submissions.description import SeedClaim, Submission
from bench.submissions.numbers import (
    TaskFacts,
    check_bounds,
    check_data,
    configuration_of,
    rounding_of,
)
from bench.submissions.sealed import Guarantees
from bench.sweep.tolerances import tolerance
from bench.sweep.verdicts import Cited, judge

How = Literal["evaluated", "retrained"]


def made_here(
    submission: Submission, facts: TaskFacts, how: How, must_be_closed: bool
) -> tuple[list[Record], Guarantees]:
    """Return the records of all seeds that did not fail, made here in a closed process.

    Raises:
        InputError: A seed has not what that takes, or gives other numbers than it claims; or network
            and writing cannot be prevented, and must be.
    """
    claims = [claim for claim in submission.seeds if not has_failed(claim)]
    works = [work_of(submission, claim, how) for claim in claims]
    contents, found = done_closed(works, submission.folder, must_be_closed)
    records = []
    for claim, content in zip(claims, contents):
        record = believed(content, submission, claim, facts)
        compare(record, submission, claim, how)
        records.append(record)
    return records, found


def has_failed(claim: SeedClaim) -> bool:
    return bool(claim.failed) or (claim.record is not None and claim.record["status"] != "ok")


def runs_their_code(submission: Submission) -> bool:
    """Tell whether making the numbers executes code of the submission, beside weights for our classes."""
    first = submission.records[0] if submission.records else None
    return first is None or "scored" in first or "plugins" in first["config"]


def work_of(submission: Submission, claim: SeedClaim, how: How) -> dict[str, Any]:
    """Return what the closed process has to do for a seed.

    Raises:
        InputError: The submission does not have what that takes.
    """
    says, what = submission.says, f"seed {claim.seed}"
    sources = submission.folder.absolute() / "source"
    weights = None if claim.weights is None else claim.weights.file
    if how == "evaluated" and weights is None:
        where = (
            "elsewhere: download them to weights/ and name the file"
            if claim.weights
            else "not given"
        )
        raise InputError(f"{what}: cannot be evaluated: its weights are {where}")
    common: dict[str, Any] = {
        "weights": weights and str(submission.folder.absolute() / weights),
        "seed": claim.seed,
        "name": submission.name if claim.record is None else claim.record["model"],
    }
    if claim.record is not None and "scored" not in claim.record:
        plugins = [
            str(sources / plugin["name"]) for plugin in claim.record["config"].get("plugins", [])
        ]
        if any(not Path(plugin).is_file() for plugin in plugins):
            raise InputError(f"{what}: the source of its plugin is missing")
        kind = "checkpoint" if how == "evaluated" else "train"
        return common | {"kind": kind, "plugins": plugins, "config": claim.record["config"]}
    if "model" not in says:
        raise InputError("model: FILE.py:NAME, which makes the model, is missing")
    if how == "retrained" and "recipe" not in says:
        raise InputError("recipe: FILE.py:NAME of a function that trains, (seed, path), is missing")
    for name in ("model", "recipe"):
        file = str(says.get(name, "")).rpartition(":")[0]
        if file and file not in submission.source:
            raise InputError(f"{name}: {file} is not in source")
    config = claim.record["config"]["evaluation"] if claim.record else None
    evaluation = config or asdict(
        EvaluationConfig(importance_samples=says["importance_samples"] or 1)
    )
    return common | {
        "kind": "score",
        "data": configuration_of(submission.task),
        "model": str(sources / says["model"]),
        "recipe": str(sources / says["recipe"]) if how == "retrained" else None,
        "images": says.get("images"),
        "likelihood": says.get("likelihood"),
        "evaluation": evaluation,
    }


def believed(content: Any, submission: Submission, claim: SeedClaim, facts: TaskFacts) -> Record:
    """Return what the closed process wrote, after the checks that every record has to pass.

    Raises:
        InputError: It is no record, contradicts itself, or is of another task or seed.
    """
    what = f"seed {claim.seed}"
    if (problem := problem_of(content)) is not None:
        raise InputError(f"{what}: what it gave {problem}")
    record = cast(Record, content)
    if record["status"] != "ok":
        raise InputError(f"{what}: failed here: {record['reason']}")
    if (record["task"], record["seed"]) != (submission.task, claim.seed):
        raise InputError(f"{what}: gave numbers of seed {record['seed']} of {record['task']}")
    if record["key"] != key_of(record["config"]):
        raise InputError(f"{what}: gave a key that is not of its configuration")
    check_consistent(record)
    check_data(record, facts, what)
    check_bounds(record["metrics"]["test"], facts, what)
    # Git cannot be called from inside.
    known = {
        name: value for name, value in record["environment"].items() if name != "commit_unknown"
    }
    record["environment"] = cast(Any, {**known, **code_version()})
    return record


def compare(record: Record, submission: Submission, claim: SeedClaim, how: How) -> None:
    """Raise InputError unless the numbers that were made here are those that are claimed."""
    what, same_weights = f"seed {claim.seed}", how == "evaluated"
    theirs = claim.record
    if theirs is not None and theirs["key"] == record["key"]:
        runs = parse_runs(
            csv_text(runs_table(submission.records, "submission")).encode(), "runs.csv"
        )
        rows = runs[runs["key"] == record["key"]]
        cited = Cited(record["key"], rows, theirs["config"], theirs, theirs["model"])
        again = cast(Record, {**record, "model": theirs["model"]})
        verdict = judge(cited, again, runs, same_weights)
        if not verdict.is_good:
            raise InputError(f"{what}: {how} here, it gives other numbers: {verdict.reasons[0]}")
        return
    if theirs is not None and same_weights:
        raise InputError(
            f"{what}: its weights, source or settings are not those of its record {theirs['key']}"
        )
    test = record["metrics"]["test"]
    numbers = dict(claim.numbers)
    if theirs is not None:
        numbers = {name: part["value"] for name, part in theirs["metrics"]["test"].items()}
    for name in ("log_likelihood", "bits_per_dim"):
        if name not in numbers:
            continue
        others = [c.numbers[name] for c in submission.seeds if c is not claim and name in c.numbers]
        allowed = tolerance(record, "test", name, others, same_weights) + rounding_of(numbers[name])
        if not abs(test[name]["value"] - numbers[name]) <= allowed:
            raise InputError(
                f"{what}: {how} here, its {name} is {test[name]['value']:.6g}, and {numbers[name]:.6g} "
                f"is claimed; tolerance {allowed:.2g}"
            )
