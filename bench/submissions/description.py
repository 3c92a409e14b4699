"""submission.yaml: what a submission says of itself, written by `bench submit` or by hand."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.records.record import read_record
from bench.records.schema import LARGEST, SHA256, is_key, is_line, is_task
from bench.records.types import REFERENCES, Record
from bench.submissions.bibtex import check_bibtex
from bench.submissions.contents import check_contents, check_hash, check_path, sha256_of, text_of
from bench.system.files import is_there
from bench.system.yaml_text import read_yaml

NAME = "submission.yaml"
FORMAT = 1
# Numbers of the test split, in nats but for bits_per_dim, which a seed may give.
NUMBERS = (
    "log_likelihood", "bits_per_dim", "elbo", "reconstruction", "kl", "mutual_information",
    "marginal_kl",
)  # fmt: skip
ERROR = "log_likelihood_stderr"
NEEDED = ("format", "name", "task", "licence", "citation", "selected_on", "seeds")
KNOWN = (
    *NEEDED, "importance_samples", "importance_data", "test_images", "bound", "data_sha256", "model",
    "images", "likelihood", "source", "recipe", "budget", "environment",
)  # fmt: skip
# An SPDX licence expression: identifiers, joined by AND, OR and WITH, with brackets.
LICENCE = re.compile(
    r"\(*[A-Za-z0-9][A-Za-z0-9.+:-]*\)*( (AND|OR|WITH) \(*[A-Za-z0-9][\w.+:-]*\)*)*"
)
MAKER = re.compile(r"[\w./+-]+\.py:[A-Za-z_]\w*", re.ASCII)
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Weights:
    """Where the weights of a seed are: a file of the folder, or an address; and their SHA-256."""

    file: str | None
    url: str | None
    sha256: str


@dataclass(frozen=True)
class SeedClaim:
    """What is claimed of one training.

    Attributes:
        seed: Its seed.
        numbers: {name of ``NUMBERS``: value}, of the test split.
        error: Monte-Carlo standard error of the log-likelihood, nats; None if not known.
        failed: Why the training gave no numbers; None if it gave some.
        record: The record of a run of `bench score`, `bench train` or a sweep; None without one.
        weights: Its weights, if they are given.
    """

    seed: int
    numbers: dict[str, float]
    error: float | None
    failed: str | None
    record: Record | None
    weights: Weights | None


@dataclass(frozen=True)
class Submission:
    """A submission whose files are what they are said to be. Its numbers are not checked yet.

    Attributes:
        folder: Where it lies.
        name: The name of its row.
        task: The task.
        licence: SPDX expression, of its weights and source.
        citation: Key of its BibTeX entry.
        seeds: What is claimed.
        says: All of submission.yaml.
        files: The files that belong to it.
        sha256: Hash of submission.yaml, which holds those of weights and source.
    """

    folder: Path
    name: str
    task: str
    licence: str
    citation: str
    seeds: tuple[SeedClaim, ...]
    says: dict[str, Any]
    files: tuple[str, ...]
    sha256: str
    source: dict[str, str] = field(default_factory=dict)

    @property
    def records(self) -> list[Record]:
        return [claim.record for claim in self.seeds if claim.record is not None]


def read_submission(folder: Path, without_weights: bool = False) -> Submission:
    """Read a submission's folder. Nothing in it is executed.

    Args:
        folder: The folder.
        without_weights: Whether its weights may be missing, as on a board that is published without
            them: what was made from them is there.

    Raises:
        InputError: A file is missing, is another than it is said to be, or cannot be read; or
            submission.yaml is incomplete.
    """
    files = check_contents(folder)
    if NAME not in files:
        raise InputError(f"submission: {folder} has no {NAME}; docs/submit.md describes it")
    says = read_yaml(folder / NAME)
    check_form(says)
    citation = check_path("citation", says["citation"])
    if citation not in files:
        raise InputError(f"citation: {citation} is not in the folder")
    source = checked_source(says.get("source", {}), folder)
    seeds = tuple(seed_claim(folder, seed, says["task"], without_weights) for seed in says["seeds"])
    numbers = [claim.seed for claim in seeds]
    for seed in numbers:
        if numbers.count(seed) > 1:
            raise InputError(f"seeds: seed {seed} occurs {numbers.count(seed)} times")
    kept = {NAME, citation, *(f"source/{name}" for name in source)}
    kept |= {f"runs/{claim.record['key']}/record.json" for claim in seeds if claim.record}
    kept |= {c.weights.file for c in seeds if c.weights and c.weights.file} & set(files)
    return Submission(
        folder,
        says["name"],
        says["task"],
        says["licence"],
        check_bibtex(text_of(folder, citation)),
        seeds,
        says,
        tuple(sorted(kept)),
        sha256_of(folder / NAME),
        source,
    )


def check_form(says: Any) -> None:
    """Raise InputError unless submission.yaml has what it needs, and nothing that is not known."""
    if not isinstance(says, dict):
        raise InputError(f"{NAME}: is not a mapping of names to values")
    for name in NEEDED:
        if says.get(name) in (None, "", []):
            raise InputError(f"{NAME}: {name} is missing")
    if unknown := next((name for name in says if name not in KNOWN), None):
        raise InputError(f"{NAME}: '{unknown[:50]}' is unknown; known: {', '.join(KNOWN)}")
    if says["format"] != FORMAT:
        raise InputError(f"format: {says['format']!r:.50} is not {FORMAT}")
    if not is_line(says["name"]) or len(says["name"]) > 100:
        raise InputError("name: is not a line of at most 100 letters")
    if says["name"] in REFERENCES:
        raise InputError(
            f"name: {says['name']} is the benchmark's own reference; take another name"
        )
    if says["name"][0] in "=+-@":
        raise InputError(
            "name: begins with a sign that programs read as a formula; take another name"
        )
    if not is_task(says["task"]):
        raise InputError("task: is not the name of a task")
    licence = says["licence"]
    if not isinstance(licence, str) or len(licence) > 200 or not LICENCE.fullmatch(licence):
        raise InputError(
            f"licence: {str(licence)[:50]!r} is not an SPDX expression such as MIT or Apache-2.0"
        )
    if says["selected_on"] != "validation":
        raise InputError(
            f"selected_on: {str(says['selected_on'])[:50]!r}; a recipe that was chosen on other than "
            "validation data is not ranked"
        )
    check_counts(says)
    for name, pattern in (("model", MAKER), ("recipe", MAKER), ("data_sha256", SHA256)):
        value = says.get(name)
        if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
            what = "FILE.py:NAME" if pattern is MAKER else "a SHA-256"
            raise InputError(f"{name}: {str(value)[:100]!r} is not {what}")
    for name in ("images", "likelihood", "budget", "environment"):
        value = says.get(name)
        if value is not None and not is_line(value):
            raise InputError(f"{name}: is not a text in one line")


def check_counts(says: dict[str, Any]) -> None:
    if says.get("bound", "upper") not in ("upper", "exact"):
        raise InputError(f"bound: {str(says['bound'])[:50]!r} is neither upper nor exact")
    for name, least in (("importance_samples", 0), ("importance_data", 1), ("test_images", 1)):
        value = says.get(name)
        if value is not None and (type(value) is not int or not least <= value < 2**31):
            raise InputError(f"{name}: {str(value)[:50]!r} is not a number from {least}")
    seeds = says["seeds"]
    if not isinstance(seeds, list) or len(seeds) > MOST_SEEDS:
        raise InputError(f"seeds: is not a list of at most {MOST_SEEDS} seeds")


def checked_source(source: Any, folder: Path) -> dict[str, str]:
    """Return {file under source/: SHA-256}. Raises InputError if one is not what it is said to be."""
    if not isinstance(source, dict):
        raise InputError("source: is not a mapping of files to their SHA-256")
    for name, sha256 in source.items():
        check_path("source", name)
        check_hash("source", folder, f"source/{name}", as_hash(f"source: {name}", sha256))
    return dict(source)


def as_hash(what: str, value: Any) -> str:
    if not isinstance(value, str) or not SHA256.fullmatch(value):
        raise InputError(f"{what}: its sha256 is not of 64 hexadecimal digits")
    return value


def seed_claim(folder: Path, given: Any, task: str, without_weights: bool) -> SeedClaim:
    """Return what is claimed of a seed. Raises InputError if it cannot be read."""
    if not isinstance(given, dict) or type(given.get("seed")) is not int:
        raise InputError("seeds: one has no whole number as its seed")
    what = f"seed {given['seed']}"
    known = ("seed", "failed", "record", "weights", ERROR, *NUMBERS)
    if unknown := next((name for name in given if name not in known), None):
        raise InputError(f"{what}: '{unknown[:50]}' is unknown; known: {', '.join(known)}")
    numbers = {name: as_number(what, name, given[name]) for name in NUMBERS if name in given}
    error = as_number(what, ERROR, given[ERROR]) if ERROR in given else None
    if error is not None and error < 0:
        raise InputError(f"{what}: {ERROR} is negative")
    failed = given.get("failed")
    if failed is not None and (not is_line(failed) or numbers):
        raise InputError(f"{what}: failed is a line that says why, and stands without numbers")
    record = None
    if (key := given.get("record")) is not None:
        if not is_key(key):
            raise InputError(f"{what}: record: is not a key of 16 hexadecimal digits")
        record = read_record(folder / "runs" / key / "record.json")
        if (record["seed"], record["task"]) != (given["seed"], task):
            raise InputError(
                f"{what}: its record {key} is of seed {record['seed']} of {record['task']}"
            )
    elif failed is None and not {"log_likelihood", "bits_per_dim"} & numbers.keys():
        raise InputError(f"{what}: has neither log_likelihood nor bits_per_dim, nor failed: why")
    weights = weights_in(folder, what, given.get("weights"), without_weights)
    return SeedClaim(given["seed"], numbers, error, failed, record, weights)


def as_number(what: str, name: str, value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= LARGEST:
        raise InputError(f"{what}: {name} is {str(value)[:50]}, and not a finite number")
    return float(value)


def weights_in(folder: Path, what: str, given: Any, may_be_missing: bool) -> Weights | None:
    """Return where a seed's weights are. Raises InputError if the file is not the one of the hash."""
    if given is None:
        return None
    places = [name for name in ("file", "url") if isinstance(given, dict) and name in given]
    if len(places) != 1 or set(given) != {places[0], "sha256"}:
        raise InputError(f"{what}: weights have a file or a url, a sha256, and nothing else")
    sha256 = as_hash(f"{what}: weights", given["sha256"])
    if places == ["url"]:
        url = given["url"]
        if not is_line(url) or not url.startswith("https://") or " " in url:
            raise InputError(f"{what}: weights: url is not an address that begins with https://")
        return Weights(None, url, sha256)
    path = check_path(f"{what}: weights", given["file"])
    if not may_be_missing or is_there(folder / path):
        check_hash(f"{what}: weights", folder, path, sha256)
    return Weights(path, None, sha256)
