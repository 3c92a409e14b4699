"""Faults are planted in copies of the repository, and the named tests are run there."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.conftest import patience
from tests.faults.table import ROOT, Fault

# Seconds that the tests of one fault, and all named tests without one, may take on an idle machine.
LIMIT, LIMIT_OF_ALL = 120.0, 1200.0
# Imports the faulty module before any test is collected: one that cannot be imported is no fault
# that a test notices.
PROGRAM = """
import importlib, sys
try:
    importlib.import_module(sys.argv[1])
except Exception as error:
    sys.exit(f"cannot be imported: {type(error).__name__}: {error}")
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""
OPTIONS = (
    "-x",
    "-q",
    "-rfE",
    "--tb=line",
    "--durations=0",
    "-p",
    "no:cacheprovider",
)
# A node id, whose parameters may hold anything, and the reason.
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?::[^\s\[]+(?:\[.*?\](?= - |$))?)(?: - (.*))?$", re.M)
# pytest's exit code when tests failed; others mean that they could not be run.
TESTS_FAILED = 1


class Outcome(NamedTuple):
    """What became of a fault.

    Attributes:
        kind: killed: a test failed; survived: none did; timeout: they took too long; or not planted:
            the fault is not in the file, or the tests could not be run with it.
        detail: The test that failed first, or why there is none.
        seconds: How long it took.
        reason: Why that test failed.
    """

    kind: str
    detail: str = ""
    seconds: float = 0.0
    reason: str = ""


def files_of(root: Path) -> list[Path]:
    """Return the files of a checkout that git tracks or would track, from its root."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={root}", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(name) for name in listed.stdout.split("\0") if name and (root / name).is_file()]


def copy_checkout(folder: Path, root: Path = ROOT) -> None:
    """Copy a checkout's files, without its history, into a new folder."""
    for name in files_of(root):
        (folder / name.parent).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, folder / name)


def run_tests(folder: Path, module: str, tests: Iterable[str], limit: float) -> Outcome:
    """Run tests of a copy, up to the first that fails.

    Args:
        folder: The copy.
        module: Imported first.
        tests: Files or node ids.
        limit: Seconds, on an idle machine.
    """
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "OMP_NUM_THREADS": "1",
        "WANDB_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Hypothesis then draws the same cases each time, and no case has to be quick.
        "CI": "true",
        # Other packages' plugins take a second to import.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        # The fault is in the file for a moment: no other process is to find it compiled.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, module, *OPTIONS, *tests],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=patience(limit))
    except subprocess.TimeoutExpired:
        return Outcome("timeout", f"after {limit:.0f} s", time.monotonic() - started)
    finally:
        # Also what tests have started.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    return outcome_of(process.returncode, output)._replace(seconds=time.monotonic() - started)


def outcome_of(code: int, output: str) -> Outcome:
    """Return what pytest's exit code and output say."""
    failed = FAILED.search(output)
    if code == 0:
        return Outcome("survived")
    if code == TESTS_FAILED and failed is not None:
        test, reason = failed[1], failed[2] or ""
        if reason.startswith("NameError"):
            return Outcome("not planted", f"{test}: {reason}")
        return Outcome("killed", test, reason=reason)
    lines = [line for line in output.splitlines() if line.strip()] or ["no output"]
    told = next((line for line in lines if line.startswith("ERROR")), lines[-1])
    return Outcome("not planted", f"exit code {code}: {told}")


def try_fault(fault: Fault, folder: Path) -> Outcome:
    """Plant a fault in a copy, run its tests there, and take it out again."""
    problem = fault.problem(folder)
    if problem is not None:
        return Outcome("not planted", problem)
    path = folder / fault.file
    sound = path.read_text(encoding="utf-8")
    path.write_text(fault.planted(sound), encoding="utf-8")
    try:
        return run_tests(folder, fault.module, fault.tests, LIMIT)
    finally:
        path.write_text(sound, encoding="utf-8")
