"""Single runs, as `bench train` does them: side by side in one folder, and listed as a sweep's are."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.records.manifest import LONGEST_MANIFEST, manifest_path
from bench.records.schema import is_key
from bench.system.files import open_own, read_text, write_atomically
from bench.system.printing import say

RUN_LOCK, MANIFEST_LOCK = ".train.lock", ".manifest.lock"


@contextmanager
def done_once(directory: Path) -> Iterator[bool]:
    """Hold a run's folder; whoever comes second waits.

    Yields:
        Whether another process held it, and may have done the run meanwhile.
    """
    directory.mkdir(parents=True, exist_ok=True)
    waited = False
    with open_own(directory / RUN_LOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process does this run; waiting for its record")
            fcntl.flock(lock, fcntl.LOCK_EX)
            waited = True
        yield waited


def list_single_runs(directory: Path) -> bool:
    """Write the manifest of a folder of single runs, from the records that are in it.

    Returns:
        Whether it was written: the manifest of a sweep says what that sweep consists of, and is
        left alone.
    """
    with open_own(directory / MANIFEST_LOCK) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = manifest_of(directory)
        if before is not None and not is_single(before):
            return False
        paths = [path for path in directory.glob("runs/*/record.json") if path.is_file()]
        paths.sort(key=lambda path: path.stat().st_mtime)
        # Copies of runs, and whatever else stands beside them, are none.
        there = [path.parent.name for path in paths if is_key(path.parent.name)]
        known = [key for key in (before or {}).get("keys", []) if key in there]
        content = {"sweep": directory.name, "single_runs": True}
        content["keys"] = list(dict.fromkeys(known + there))
        write_atomically(manifest_path(directory), json.dumps(content, indent=1) + "\n")
    return True


def manifest_of(directory: Path) -> dict | None:
    """Return a folder's manifest as it stands there; None if there is none that can be read."""
    try:
        content = json.loads(read_text(manifest_path(directory), LONGEST_MANIFEST))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get("keys"), list) else None


def is_single(manifest: dict | None) -> bool:
    """Tell whether a manifest lists single runs, and no sweep."""
    return manifest is not None and manifest.get("single_runs") is True
