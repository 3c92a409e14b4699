"""`bench status`: how far a sweep is, seen from outside its driver, also when it is over."""

import fcntl
import json
from pathlib import Path

from bench.errors import InputError
from bench.record import read_record, record_path
from bench.report.reduce import read_manifest
from bench.sweep.progress import STATUS, table_of
from bench.sweep.single import is_single, manifest_of

LOCK = ".driver.lock"


def is_driven(directory: Path) -> bool:
    """Tell whether a driver is at work on a sweep's folder; takes nothing from it."""
    try:
        with open(directory / LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def show_status(directory: Path) -> int:
    """Print what is done, failed, missing and, while a driver is at work, running.

    Returns:
        0 if every run of the sweep has a record of success, else 1.

    Raises:
        InputError: There is no sweep in the folder.
    """
    from rich.console import Console

    keys = read_manifest(directory)
    again = "`bench train` of it" if is_single(manifest_of(directory)) else "`bench sweep`"
    good, failed, damaged, missing = [], [], [], []
    for key in keys:
        path = record_path(directory / "runs", key)
        if not path.is_file():
            missing.append(key)
            continue
        try:
            record = read_record(path)
        except InputError:
            damaged.append(key)
            continue
        (good if record["status"] == "ok" else failed).append(record)
    print(
        f"sweep {directory.name}: {len(keys)} runs, {len(good)} done, {len(failed)} failed, "
        f"{len(damaged)} damaged, {len(missing)} without a record"
    )
    for record in failed:
        print(
            f"failed  {record['task']} {record['model']} seed {record['seed']} "
            f"({record['key']}): {record['reason']}"
        )
    for key in damaged:
        print(f"damaged {key}: done again by the next {again}")
    if is_driven(directory):
        snapshot = read_snapshot(directory)
        if snapshot is None or snapshot["ended"]:
            print("a driver is at work and has not said yet how far it is")
        else:
            Console().print(table_of(snapshot))
    elif missing or damaged:
        print(f"no driver is at work; {again} goes on with what is left")
    return 0 if len(good) == len(keys) else 1


def read_snapshot(directory: Path) -> dict | None:
    try:
        return json.loads((directory / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
