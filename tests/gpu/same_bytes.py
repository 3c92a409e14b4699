"""Part `same_bytes`: a run done twice, and one that was killed and resumed, have the same record."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.configuration.job import Job
from bench.runs.run import run
from bench.training.checkpoints import LAST
from tests.gpu.lines import ROOT, Check
from tests.gpu.recipes import small_config

TWICE = (
    "bernoulli_vae",
    "aggregate_vae",
    "realnvp",
    "gated_vamp_vae",
    "gated_exemplar_vae",
    "convolutional_realnvp",
    "gaussian_mixture",
)
KILLED = ("bernoulli_vae", "convolutional_realnvp")
# Of a dry run.
DRY = TWICE[:1]


def job_of(name: str, folder: Path) -> Job:
    return Job(small_config(name), name, "gpu", str(folder), "disabled")


def digest(job: Job) -> tuple[str, str]:
    """Do a run. Returns the hash of all of its record but times and notes, and its status."""
    record = run(job)
    # A record without a type: what is left out differs between equal runs.
    content = {k: v for k, v in dict(record).items() if k not in ("timing", "notes")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(), record[
        "status"
    ]


def same_bytes(check: Check) -> None:
    first = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # Starting a process takes seconds, so that these train while the others are compared.
        names = DRY if check.dry else KILLED
        killed = {name: start_killed(name, folder / "killed" / name) for name in names}
        try:
            for name in DRY if check.dry else TWICE:
                with check.caught("same_bytes", model=name, test="twice"):
                    first[name], status = digest(job_of(name, folder / "first" / name))
                    again, _ = digest(job_of(name, folder / "again" / name))
                    good = status == "ok" and again == first[name]
                    check.say("same_bytes", model=name, test="twice", status=status, good=good)
            for name, process in killed.items():
                with check.caught("same_bytes", model=name, test="killed and resumed"):
                    resume(check, name, process, folder / "killed" / name, first[name])
        finally:
            for process in killed.values():
                process.kill()


def start_killed(name: str, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a run in a process that kills itself in its third epoch of four."""
    command = [sys.executable, "-m", "tests.gpu.same_bytes", name, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def resume(
    check: Check, name: str, process: "subprocess.Popen[bytes]", folder: Path, expected: str
) -> None:
    code = process.wait(timeout=120)
    assert code == -signal.SIGKILL and (folder / LAST).is_file(), f"it ended with {code}"
    found, status = digest(job_of(name, folder))
    good = status == "ok" and found == expected
    check.say("same_bytes", model=name, test="killed and resumed", status=status, good=good)


def run_and_be_killed(name: str, folder: str) -> None:
    def progress(phase: str, share: float, text: str) -> None:
        if phase == "train" and share > 0.5:
            os.kill(os.getpid(), signal.SIGKILL)

    run(job_of(name, Path(folder)), progress)


if __name__ == "__main__":
    run_and_be_killed(*sys.argv[1:])
