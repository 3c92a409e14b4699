"""`bench status`: the progress of a sweep, seen from outside its driver, also after it has ended."""

import fcntl
import json
from pathlib import Path

from bench.errors import InputError
from bench.records.manifest import read_manifest
from bench.records.record import has_record, read_record, record_path
from bench.records.types import Record
from bench.sweep.progress import STATUS, Snapshot, table_of
from bench.sweep.single import is_single, manifest_of
from bench.system.files import MIB, read_text, regular_file
from bench.system.printing import say, table_console

# status.json has one entry for each run at work. Longer durations cannot be shown.
LONGEST, MOST_SECONDS = 16 * MIB, 1e9
LOCK = ".driver.lock"


def is_driven(directory: Path) -> bool:
    """Tell whether a driver holds a sweep's folder, without blocking the driver."""
    try:
        with regular_file(directory / LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def show_status(directory: Path) -> int:
    """Print what is done, failed, missing and, while a driver is at work, running.

    Returns:
        0 if every run of the sweep has a record with numbers, else 1.

    Raises:
        InputError: There is no sweep in the folder.
    """
    keys = read_manifest(directory)
    again = "`bench train` of it" if is_single(manifest_of(directory)) else "`bench sweep`"
    good: list[Record] = []
    failed: list[Record] = []
    damaged, missing = [], []
    for key in keys:
        if not has_record(directory / "runs", key):
            missing.append(key)
            continue
        try:
            record = read_record(record_path(directory / "runs", key))
        except InputError:
            damaged.append(key)
            continue
        (good if record["status"] == "ok" else failed).append(record)
    say(
        f"sweep {directory.name}: {len(keys)} runs, {len(good)} done, {len(failed)} failed, "
        f"{len(damaged)} damaged, {len(missing)} without a record"
    )
    for record in failed:
        say(
            f"failed  {record['task']} {record['model']} seed {record['seed']} "
            f"({record['key']}): {record['reason']}"
        )
    for key in damaged:
        say(f"damaged {key}: the next {again} does it again")
    if is_driven(directory):
        snapshot = read_snapshot(directory)
        if snapshot is None or snapshot["ended"]:
            say("a driver is at work and has not yet reported its progress")
        else:
            table_console().print(table_of(snapshot))
    elif missing or damaged:
        say(f"no driver is at work; {again} resumes with what is left")
    return 0 if len(good) == len(keys) else 1


def read_snapshot(directory: Path) -> Snapshot | None:
    """Return the progress that a driver has last written; None if no driver can have written it."""
    try:
        snapshot = json.loads(read_text(directory / STATUS, LONGEST))
        numbers = [snapshot[name] for name in ("to_do", "cached", "done", "failed")]
        numbers += [snapshot["seconds_left"] or 0, snapshot["ended"]]
        for row in snapshot["running"]:
            numbers += [row["share"], row["seconds_left"] or 0]
            if not 0 <= row["share"] <= 1 or not {"label", "phase", "text"} <= row.keys():
                return None
        return snapshot if all(0 <= number < MOST_SECONDS for number in numbers) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
