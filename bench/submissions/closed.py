"""A closed process is started for a submission, watched, and its answer read."""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import bench
from bench.data.files import cache_directory
from bench.errors import InputError
from bench.submissions.inside import NOT_CLOSED
from bench.submissions.sealed import Guarantees
from bench.system.files import MIB

LONGEST_SECONDS, LOOK_SECONDS = 12 * 3600, 0.2
# Of the answer, and of all files that a training writes.
LONGEST_ANSWER, MOST_WRITTEN = 64 * MIB, 4096 * MIB
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev", "/opt")
PASSED = ("BENCH_DATA", "LANG", "LC_ALL", "OMP_NUM_THREADS", "PATH")


def done_closed(
    seeds: list[dict[str, Any]], folder: Path, must_be_closed: bool
) -> tuple[list[Any], Guarantees]:
    """Do the work of all seeds in a closed process, and return their records and what was prevented.

    Args:
        seeds: What ``inside`` reads of each seed: kind, weights, seed and so on.
        folder: The submission, which it may read.
        must_be_closed: Do nothing where network or writing cannot be prevented.

    Raises:
        InputError: It cannot be closed; or the code fails, takes too long, or gives no record.
    """
    with tempfile.TemporaryDirectory() as name:
        own, probe = Path(name) / "own", Path(name) / "probe"
        own.mkdir()
        probe.mkdir()
        (probe / "secret").write_text("")
        work = {
            "seeds": seeds,
            "readable": readable(folder),
            "writable": [str(own), "/dev/null"],
            "probe": str(probe),
            "path": importable(),
            "must_be_closed": must_be_closed,
        }
        with (
            tempfile.TemporaryFile() as guarantees,
            tempfile.TemporaryFile() as answer,
            tempfile.TemporaryFile() as said,
        ):
            code = watched(work, own, (guarantees, answer, said))
            found = guarantees_in(guarantees)
            if code == NOT_CLOSED:
                raise InputError(
                    f"isolation: {found.in_words()}; nothing of the submission was run. "
                    "--without-isolation runs it anyway, with all that you may do"
                )
            return records_in(answer, said, code, len(seeds)), found


def readable(folder: Path) -> list[str]:
    """Return what is read: Python's and the benchmark's files, the data and the submission."""
    package = Path(bench.__file__).parent
    own = [package, package.parent / "configs", folder.absolute(), cache_directory()]
    python = [*importable(), sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()]
    found = [*SYSTEM, *python, *map(str, own), fonts(), os.environ.get("BENCH_DATA") or "/usr"]
    home = {str(Path.home()), "/", "/tmp"}
    return sorted({path for path in found if str(Path(path).resolve()) not in home})


def importable() -> list[str]:
    """Return where this process finds modules, but for the folder it was started from: the user's."""
    return [path for path in sys.path if path and Path(path).resolve() != Path.cwd()]


def fonts() -> str:
    """Return the folder in which matplotlib keeps its list of fonts, which takes long to make."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return os.environ.get("MPLCONFIGDIR") or f"{cache}/matplotlib"


def watched(work: dict[str, Any], own: Path, files: tuple[IO[bytes], IO[bytes], IO[bytes]]) -> int:
    """Run the process, end it where it takes too much, and return its exit code."""
    guarantees, answer, said = (file.fileno() for file in files)
    # Keys and names of the user's are in variables too.
    known = {name: os.environ[name] for name in PASSED if name in os.environ}
    environment = known | {
        "HOME": str(own),
        "TMPDIR": str(own),
        "MPLCONFIGDIR": fonts(),
        "XDG_CACHE_HOME": str(cache_directory().parent),
        "PYTHONPATH": str(Path(bench.__file__).parents[1]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "WANDB_MODE": "disabled",
    }
    words = ["-m", "bench.submissions.inside", str(guarantees), str(answer)]
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=own,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=said,
        pass_fds=(guarantees, answer),
        start_new_session=True,
    )
    started = time.monotonic()
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(work).encode())
        process.stdin.close()
        while True:
            try:
                return process.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                too_much = sum(file.stat().st_size for file in own.rglob("*") if file.is_file())
            if time.monotonic() - started > LONGEST_SECONDS:
                raise InputError(f"submission: takes longer than {LONGEST_SECONDS // 3600} hours")
            if too_much > MOST_WRITTEN:
                raise InputError(f"submission: writes more than {MOST_WRITTEN // MIB} MiB")
    except BrokenPipeError:
        return process.wait()
    finally:
        process.kill()
        process.wait()


def guarantees_in(file: IO[bytes]) -> Guarantees:
    file.seek(0)
    try:
        return Guarantees(**json.loads(file.read(LONGEST_ANSWER)))
    except (ValueError, TypeError):
        return Guarantees(False, False, False, False, False)


def records_in(answer: IO[bytes], said: IO[bytes], code: int, number: int) -> list[Any]:
    """Return the records that a process wrote. Raises InputError if it wrote none."""
    answer.seek(0)
    try:
        content = json.loads(answer.read(LONGEST_ANSWER))
        if isinstance(content, dict) and isinstance(content.get("error"), str):
            raise InputError(f"submission: {content['error']}")
        records = content["records"]
        if not isinstance(records, list) or len(records) != number:
            raise ValueError
    except InputError:
        raise
    except (ValueError, LookupError, TypeError, RecursionError):
        if code < 0:
            raise InputError(
                f"submission: was ended by signal {-code}; did it take too much memory?"
            ) from None
        said.seek(max(0, said.seek(0, os.SEEK_END) - 2000))
        lines = said.read().decode("utf-8", "replace").strip().splitlines() or ["nothing"]
        raise InputError(
            f"submission: gave no records and ended with {code}; it said: {lines[-1][:300]}"
        ) from None
    return records
