"""Single runs of `bench train`: many in one folder, with a manifest like that of a sweep."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.records.manifest import LONGEST_MANIFEST, Manifest, manifest_path
from bench.records.record import has_record, record_path
from bench.records.schema import is_key
from bench.system.files import open_own, read_text, write_atomically
from bench.system.printing import say

RUN_LOCK, MANIFEST_LOCK = ".train.lock", ".manifest.lock"


@contextmanager
def done_once(directory: Path) -> Iterator[bool]:
    """Lock a run's folder; a second process waits for the first.

    Yields:
        Whether another process held the lock and may have done the run.
    """
    directory.mkdir(parents=True, exist_ok=True)
    waited = False
    with open_own(directory / RUN_LOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is doing this run; waiting for its record")
            fcntl.flock(lock, fcntl.LOCK_EX)
            waited = True
        yield waited


def list_single_runs(directory: Path) -> bool:
    """Write the manifest of a folder of single runs, which lists every record in it.

    Returns:
        Whether it was written: the manifest of a sweep, which lists the sweep's runs, is left alone.
    """
    with open_own(directory / MANIFEST_LOCK) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = manifest_of(directory)
        if before is not None and not is_single(before):
            return False
        runs = directory / "runs"
        # Copies of runs, and other folders beside them, have no key for a name.
        names = (path.name for path in runs.glob("*"))
        found = [name for name in names if is_key(name) and has_record(runs, name)]
        found.sort(key=lambda key: record_path(runs, key).lstat().st_mtime)
        there = set(found)
        known = [key for key in (before["keys"] if before else []) if key in there]
        keys = list(dict.fromkeys(known + found))
        content: Manifest = {"sweep": directory.name, "single_runs": True, "keys": keys}
        write_atomically(manifest_path(directory), json.dumps(content, indent=1) + "\n")
    return True


def manifest_of(directory: Path) -> Manifest | None:
    """Return a folder's manifest; None if there is none or it cannot be read."""
    try:
        content = json.loads(read_text(manifest_path(directory), LONGEST_MANIFEST))
    except (OSError, ValueError, RecursionError):
        return None
    is_manifest = isinstance(content, dict) and isinstance(content.get("keys"), list)
    return content if is_manifest else None


def is_single(manifest: Manifest | None) -> bool:
    """Tell whether a manifest lists single runs instead of a sweep."""
    return manifest is not None and manifest.get("single_runs") is True
