"""Records: one JSON file for each run, written once, checked when read; the only truth there is."""

import hashlib
import json
import os
import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench import __version__
from bench.checkout import code_hash, read_checkout
from bench.errors import InputError
from bench.files import MIB, is_there, read_text
from bench.record_schema import problem_of

PACKAGES = (
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "wandb",
    "lightning-bolts",
    "pandas",
    "numpy",
    "ray",
)
# The longest have a tenth of a MiB; parsed, one takes up to thirty times its size in memory.
LONGEST = 16 * MIB


def record_path(runs: Path, key: str) -> Path:
    return runs / key / "record.json"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write by rename, so that a reader sees the whole file or none, and a kill loses nothing.

    Text is written as UTF-8, its line ends as they are.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.unlink(missing_ok=True)
        with open(partial, "xb") as file:  # through no link
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def checksum(record: dict) -> str:
    """Return the SHA-256 of a record's canonical JSON, its own checksum aside."""
    content = {name: value for name, value in record.items() if name != "checksum"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_record(runs: Path, record: dict) -> Path:
    """Write ``record`` under its key, with its checksum. Returns the path."""
    path = record_path(runs, record["key"])
    record = record | {"checksum": checksum(record)}
    write_atomically(path, json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n")
    return path


def read_record(path: Path) -> dict:
    """Read a record and check it. Raises InputError if it is damaged, altered or no record."""
    try:
        record = json.loads(read_text(path, LONGEST))
        intact = record["checksum"] == checksum(record) and record["key"] == path.parent.name
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        raise InputError(f"record: {path} is damaged: {reason}") from None
    if not intact:
        raise InputError(f"record: {path} was altered: its checksum does not match its content")
    problem = problem_of(record)
    if problem is not None:
        raise InputError(f"record: {path} {problem}")
    return record


def read_records(runs: Path, keys: list[str]) -> list[dict]:
    """Read the records of ``keys`` that there are under ``runs``."""
    return [read_record(record_path(runs, key)) for key in keys if has_record(runs, key)]


def has_record(runs: Path, key: str) -> bool:
    """Tell whether a run has a record, whole or not."""
    return is_there(record_path(runs, key))


def package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def code_version() -> dict[str, Any]:
    """Return the commit that the code stands at, whether it differs from it, and its hash.

    Where there is no commit, ``commit_unknown`` says why. Taken once a process: what a process runs
    is what it imported, whatever the tree becomes.
    """
    paths = sorted(Path(__file__).parent.rglob("*.py"))
    checkout = read_checkout()
    known = {
        "version": __version__,
        "code_sha256": code_hash([(path.name, path.read_bytes()) for path in paths]),
        "commit": checkout.commit,
        "dirty": checkout.dirty,
    }
    return known | ({"commit_unknown": checkout.unknown} if checkout.unknown else {})


def commit_label() -> str | None:
    """Return the commit as a table names it that has no column ``dirty``: marked, if the code is not its."""
    known = code_version()
    return f"{known['commit']}-dirty" if known["dirty"] else known["commit"]


def environment(device: str) -> dict[str, Any]:
    """Return what else may decide a number: versions, processor, threads. No paths, no names."""
    import torch

    return code_version() | {
        "python": platform.python_version(),
        "platform": platform.system(),
        "machine": platform.machine(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "threads": torch.get_num_threads(),
        "blas": "MKL" if torch.backends.mkl.is_available() else "other",
    }


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
