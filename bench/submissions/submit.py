"""`bench submit`: a folder that others can check and rank, from the records of runs."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bench.errors import InputError
from bench.records.code import source_hash
from bench.records.record import read_record, write_record
from bench.records.tables import conditions
from bench.records.types import Record
from bench.submissions.contents import LONGEST, LONGEST_WEIGHTS, check_path, copy, sha256_of
from bench.submissions.description import FORMAT, NAME, NUMBERS, Submission, read_submission
from bench.submissions.numbers import checked_records, facts_of, recorded_facts
from bench.system.files import is_there, read_bytes
from bench.system.yaml_text import Dumper

HEADER = """\
# A submission to the leaderboard of Likelihood Bench. It can be edited, and written by hand; then
# `bench leaderboard add` says what is wrong with it. Numbers are of the test split, in nats.
# selected_on: with this line you say that the recipe was chosen on validation data, not on test data.
"""
# Names under which the source of a record's model is given, and its main file.
Sources = dict[str, Path]


@dataclass(frozen=True)
class Given:
    """What the user says of a submission, beside its records.

    Attributes:
        name: The name of its row.
        licence: SPDX expression.
        bibtex: File with its BibTeX entry.
        weights: Files of weights, in any order.
        urls: Addresses of weights, in the order of the seeds.
        hashes: Their SHA-256.
        source: Files of code.
        recipe: FILE.py:NAME of the function that trains.
        budget: What a seed took, in a line.
    """

    name: str
    licence: str
    bibtex: Path
    weights: Sequence[Path] = ()
    urls: Sequence[str] = ()
    hashes: Sequence[str] = ()
    source: Sequence[Path] = ()
    recipe: str | None = None
    budget: str | None = None


def submit(records: list[Record], given: Given, out: Path) -> Submission:
    """Write the folder of a submission, and return it as `bench leaderboard add` reads it.

    Raises:
        InputError: Something is missing or contradicts the records; nothing is written then.
    """
    if is_there(out):
        raise InputError(f"out: {out} is there already; a submission has a folder of its own")
    ordered = sorted(records, key=lambda record: record["seed"])
    check_one_row(ordered)
    sources = sources_of(ordered[0], given)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".submission-") as name:
        folder = Path(name) / "folder"
        folder.mkdir()
        seeds = written_seeds(folder, ordered, given)
        for inside, path in sources.items():
            copy(path, folder / "source" / inside, "source", LONGEST)
        copy(given.bibtex, folder / "citation.bib", "bibtex", LONGEST)
        first = ordered[0]
        says = description(first, given, seeds)
        if sources:
            says["source"] = {p: sha256_of(folder / "source" / p) for p in sorted(sources)}
        text = yaml.dump(says, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
        (folder / NAME).write_text(HEADER + text, encoding="utf-8")
        submission = read_submission(folder)
        # Of the user's own images only the record tells.
        facts = (
            facts_of(submission.task, None)
            if is_known(first)
            else recorded_facts(first["task"], first["data"])
        )
        checked_records(submission, facts)
        folder.rename(out)
    return replace(submission, folder=out)


def is_known(record: Record) -> bool:
    return "pixels_sha256" not in record["config"].get("data", {})


def found_records(folders: Sequence[str], row: str) -> list[Record]:
    """Return the records of the runs in folders: of `bench score`, `bench train`, or a sweep.

    Args:
        folders: Folders that hold runs/KEY/record.json, or folders of single runs.
        row: Conditions such as "task=digits-17 model=realnvp"; empty takes all.

    Raises:
        InputError: A folder has no record, or one is damaged.
    """
    records = []
    for text in folders:
        folder = Path(text)
        paths = [folder / "record.json"] if (folder / "record.json").is_file() else []
        paths = paths or sorted(folder.glob("runs/*/record.json"))
        if not paths:
            raise InputError(f"records: {folder} has neither record.json nor runs/KEY/record.json")
        records += [read_record(path) for path in paths]
    names = ["task", "model", "seed"]
    table = pd.DataFrame(
        [[{**record}[name] for name in names] for record in records], columns=names
    )
    for name, value in conditions(row, table):
        table = table[table[name].astype(str) == value]
    found = [records[index] for index in table.index]
    if not found:
        raise InputError(f"records: none of them matches '{row}'")
    return found


def check_one_row(records: list[Record]) -> None:
    """Raise InputError unless records are trainings of one model on one task."""
    rows = sorted({f"task={record['task']} model={record['model']}" for record in records})
    if len(rows) > 1:
        shown = "; ".join(rows[:4]) + ("; …" if len(rows) > 4 else "")
        raise InputError(
            f"records: are of {len(rows)} rows: {shown}; a submission is one row, which --row chooses"
        )
    kinds = {"scored" in record for record in records}
    if len(kinds) > 1:
        raise InputError("records: some are of `bench score` and some of `bench train`")


def sources_of(first: Record, given: Given) -> Sources:
    """Return {path under source/: file} of the given files.

    Those that the record of the first seed names by their hash keep the name that they have there.

    Raises:
        InputError: A file cannot be read, or none of the given ones is that of the record.
    """
    scored = first.get("scored")
    expected: dict[str, str] = dict(scored["sources_sha256"]) if scored else {}
    plugins = {p["name"]: p["sha256"] for p in first["config"].get("plugins", [])}
    by_hash = {sha256_of(path): path for path in given.source}
    found: Sources = {}
    for name, sha256 in expected.items():
        if not given.source:
            break
        if sha256 not in by_hash:
            raise InputError(
                f"source: no given file is {name} as it was scored (SHA-256 {sha256[:16]}…); give that, "
                "or score the model again"
            )
        found[check_path("source", name)] = by_hash[sha256]
    for path in given.source:
        if path in found.values():
            continue
        name = check_path("source", path.name)
        if name in plugins and plugins[name] != source_hash({"": read_bytes(path, LONGEST)}):
            raise InputError(f"source: {name} is not the plugin that the runs were made with")
        found[name] = path
    return found


def written_seeds(folder: Path, ordered: list[Record], given: Given) -> list[dict[str, Any]]:
    """Write the records and weights of the seeds, and return what submission.yaml says of each."""
    if len(given.urls) != len(given.hashes):
        raise InputError("weights_url: each address needs a --weights-sha256")
    if given.urls and (given.weights or len(given.urls) != len(ordered)):
        raise InputError(
            f"weights_url: one address for each of {len(ordered)} seeds, in their order, and no files"
        )
    files = {sha256_of(path): path for path in given.weights}
    keys = keys_of(files) if "scored" not in ordered[0] else {}
    seeds = []
    for number, record in enumerate(ordered):
        write_record(folder / "runs", record)
        says: dict[str, Any] = {"seed": record["seed"], "record": record["key"]}
        test = record.get("metrics", {}).get("test", {}) if record["status"] == "ok" else {}
        says |= {name: test[name]["value"] for name in NUMBERS if name in test}
        if record["status"] != "ok":
            says["failed"] = " ".join(str(record["reason"]).split())[:200]
        sha256 = (
            record["scored"]["checkpoint_sha256"] if "scored" in record else keys.get(record["key"])
        )
        if given.urls:
            says["weights"] = {"url": given.urls[number], "sha256": given.hashes[number]}
            if "scored" in record and sha256 != given.hashes[number]:
                raise InputError(
                    f"weights_url: seed {record['seed']} was scored with other weights"
                )
        elif sha256 in files:
            name = f"weights/seed-{record['seed']}{files[sha256].suffix}"
            copy(files[sha256], folder / check_path("weights", name), "weights", LONGEST_WEIGHTS)
            says["weights"] = {"file": name, "sha256": sha256}
            del files[sha256]
        seeds.append(says)
    if files:
        raise InputError(
            f"weights: {next(iter(files.values())).name} has not the weights of any of these records"
        )
    return seeds


def keys_of(files: Mapping[str, Path]) -> dict[str, str]:
    """Return {key of the run: SHA-256} of checkpoints of `bench train`, given as {SHA-256: file}."""
    from bench.records.key import key_of
    from bench.training.checkpoints import read_checkpoint

    return {key_of(read_checkpoint(p)["bench"]["config"]): sha256 for sha256, p in files.items()}


def description(first: Record, given: Given, seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what submission.yaml says."""
    environment = first["environment"]
    packages = environment.get("packages") or {}
    says: dict[str, Any] = {
        "format": FORMAT,
        "name": given.name,
        "task": first["task"],
        "licence": given.licence,
        "citation": "citation.bib",
        "selected_on": "validation",
        "environment": f"Python {environment.get('python')}, PyTorch {packages.get('torch')}, "
        f"{environment.get('cpu') or 'unknown processor'}, likelihood-bench {environment.get('version')}",
    }
    seconds = first["timing"].get("total_seconds")
    if "scored" not in first and seconds is not None:
        says["budget"] = (
            f"{seconds / 3600:.3g} h a seed, on {environment.get('threads', 1)} thread(s)"
        )
    if (scored := first.get("scored")) is not None and ".py:" in scored["source"]:
        says["model"] = scored["source"]
        for name in ("images", "likelihood"):
            if isinstance(value := first["config"]["model"].get(name), str):
                says[name] = value
    if given.recipe is not None:
        says["recipe"] = given.recipe
    if given.budget is not None:
        says["budget"] = given.budget
    return says | {"seeds": seeds}
