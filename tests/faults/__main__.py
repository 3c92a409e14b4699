"""Plants faults in copies of the package, one at a time, and runs the tests that must notice each.

python -m tests.faults --only kl-direction
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pandas as pd

from bench.commands.time_left import telling_time_left
from bench.records.provenance import commit_label
from bench.records.tables import csv_text
from bench.settings import Progress
from bench.system.files import write_atomically
from bench.system.printing import say
from tests.faults.planting import (
    LIMIT_OF_ALL,
    Outcome,
    copy_checkout,
    run_tests,
    try_fault,
)
from tests.faults.table import Fault, read_faults

Try = Callable[[Fault, Path], Outcome]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="words; names or files that contain one of them")
    parser.add_argument("--workers", type=int, default=2, help="faults that are tried at once")
    parser.add_argument("--results", type=Path, default=Path("results"), help="faults.csv is below")
    options = parser.parse_args()
    faults = chosen(read_faults(), options.only.split())
    if not faults:
        say(f"faults: no name or file contains one of '{options.only}'", sys.stderr)
        return 2
    with copies(options.workers) as folders:
        with telling_time_left() as progress:
            sound = sound_outcome(faults, folders[0], progress)
        if sound.kind != "survived":
            why = f"{sound.detail} {sound.reason}"
            say(f"faults: tests fail without any fault: {why}", sys.stderr)
            return 1
        with telling_time_left() as progress:
            outcomes = try_all(faults, folders, progress)
    if not options.only:
        path = options.results / "faults" / "faults.csv"
        write_atomically(path, csv_text(table_of(faults, outcomes)))
        say(f"written: {path}")
    return report(faults, outcomes)


def chosen(faults: list[Fault], words: list[str]) -> list[Fault]:
    """Return the faults whose name or file contains one of the words; all without words."""
    is_chosen = lambda fault: any(word in fault.name or word in fault.file for word in words)
    return [fault for fault in faults if not words or is_chosen(fault)]


@contextmanager
def copies(number: int) -> Iterator[list[Path]]:
    """Yield copies of the checkout, which are removed in the end."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        folders = [Path(folder).resolve() / str(n) for n in range(number)]
        for own in folders:
            copy_checkout(own)
        yield folders


def sound_outcome(faults: list[Fault], folder: Path, progress: Progress) -> Outcome:
    """Return what becomes of all named tests without a fault: they survive it."""
    progress("faults", 0.0, "all named tests without a fault")
    tests = dict.fromkeys(test for fault in faults for test in fault.tests)
    return run_tests(folder, "bench", tests, LIMIT_OF_ALL)


def try_all(
    faults: list[Fault], folders: list[Path], progress: Progress, attempt: Try = try_fault
) -> dict[str, Outcome]:
    """Try every fault, as many at once as there are copies, and return the outcomes by name."""
    free: SimpleQueue[Path] = SimpleQueue()
    for folder in folders:
        free.put(folder)

    def in_a_copy(fault: Fault) -> Outcome:
        folder = free.get()
        try:
            return attempt(fault, folder)
        finally:
            free.put(folder)

    outcomes = {}
    with ThreadPoolExecutor(len(folders)) as pool:
        running = {pool.submit(in_a_copy, fault): fault for fault in faults}
        try:
            for number, future in enumerate(as_completed(running), start=1):
                name, outcome = running[future].name, future.result()
                outcomes[name] = outcome
                say(f"{outcome.kind:11}  {name} ({outcome.seconds:.0f} s) {outcome.detail}")
                progress("faults", number / len(faults), f"{number} of {len(faults)}")
        finally:
            # After Ctrl-C those that have not begun are left.
            pool.shutdown(wait=False, cancel_futures=True)
    return outcomes


def table_of(faults: list[Fault], outcomes: dict[str, Outcome]) -> pd.DataFrame:
    """Return faults.csv: a row for each fault, without times, which differ from run to run."""
    rows = [
        {
            "fault": fault.name,
            "file": fault.file,
            "wrong": fault.wrong,
            "outcome": outcomes[fault.name].kind,
            "noticed_by": outcomes[fault.name].detail,
            "survives_because": fault.survives,
        }
        for fault in faults
    ]
    return pd.DataFrame(rows).assign(commit=commit_label())


def report(faults: list[Fault], outcomes: dict[str, Outcome]) -> int:
    """Print what became of the faults, and return the exit code.

    It is 0 only if every fault was planted, and those that survive are those that the tables explain.
    """
    counts = Counter(outcome.kind for outcome in outcomes.values())
    others = "".join(f", {counts[kind]} {kind}" for kind in sorted(counts) if kind != "killed")
    say(f"{counts['killed']} of {len(faults)} faults killed{others}")
    unexpected = 0
    for fault in faults:
        kind, detail = outcomes[fault.name][:2]
        if kind == ("survived" if fault.survives else "killed"):
            if fault.survives:
                say(f"{fault.name} survives: {fault.survives}")
            continue
        unexpected += 1
        why = "and the table says that it survives" if fault.survives else detail or fault.wrong
        say(f"{fault.name} in {fault.file}: {kind}, {why}")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
