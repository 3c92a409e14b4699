"""A sweep whose processes are killed at random must end in the same bytes, and leave none behind.

python -m tests.chaos --kills 30 --folder /tmp/chaos
"""

import argparse
import filecmp
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from bench.commands.time_left import telling_time_left
from bench.settings import Progress
from tests.conftest import patience

SWEEP = Path(__file__).with_name("chaos.yaml")
TABLES = ("runs.csv", "leaderboard.csv")
# Who is killed, and how often among a hundred. The client is the driver's connection to the cluster;
# an interrupt is Ctrl-C, pressed three times in half a second.
VICTIMS = {"worker": 40, "driver": 15, "raylet": 15, "gcs_server": 15, "client": 5, "interrupt": 10}
INTERRUPTED = (130, -signal.SIGINT)  # the second before Python has come to the command
# What is left of an engine after its driver has ended must have ended by then, on an idle machine.
LEFT_SECONDS = 10.0


def chaos(name: Path, folder: Path, kills: int, seed: int, progress: Progress) -> Counter:
    """Run a sweep undisturbed, then under kills until there were ``kills``; compare the tables.

    Where the disturbed sweep ends before that, it is compared and begun anew.

    Args:
        name: The sweep's YAML file.
        folder: Empty or new folder for the results.
        kills: Number of kills.
        seed: Of the choice of victims and moments.
        report: Is told how far it is.

    Returns:
        {victim: number of kills}.

    Raises:
        RuntimeError: The tables differ, a driver fails that was not killed, or one that was leaves a
            process of its engine behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    progress("chaos", 0.0, "the undisturbed sweep")
    started = time.monotonic()
    finish(start(name, folder / "calm", folder))
    took = time.monotonic() - started
    choice, done, round_number = random.Random(seed), Counter(), 0
    while done.total() < kills:
        round_number += 1
        place = folder / f"disturbed-{round_number}"
        disturb(name, place, folder, kills, choice, done, took, progress)
        for table in TABLES:
            if not filecmp.cmp(
                folder / "calm" / name.stem / table, place / name.stem / table, shallow=False
            ):
                raise RuntimeError(f"chaos: {table} of {place} differs from the undisturbed one")
        print(f"{done.total()} of {kills} kills survived: the tables are identical", flush=True)
    return done


def start(name: Path, results: Path, folder: Path) -> subprocess.Popen:
    words = ["sweep", str(name), "--results", str(results), "--wandb", "disabled"]
    with open(folder / "drivers.log", "a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "bench", *words],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def finish(driver: subprocess.Popen) -> None:
    if driver.wait() != 0:
        raise RuntimeError(f"chaos: a sweep ended with exit code {driver.returncode}")


def disturb(
    name: Path,
    place: Path,
    folder: Path,
    kills: int,
    choice: random.Random,
    done: Counter,
    took: float,
    progress: Progress,
) -> None:
    """Drive a sweep to its end, killing; ``took`` is how long an undisturbed one lasts."""
    driver = start(name, place, folder)
    while True:
        # From the start of a driver on: also while its engine starts, and while it writes tables.
        try:
            code = driver.wait(choice.uniform(0.0, 0.5 * took))
        except subprocess.TimeoutExpired:
            code = None
        if code == 0:
            return
        if code is not None:
            raise RuntimeError(f"chaos: a driver ended with exit code {code}")
        if done.total() == kills:
            continue
        victim = choice.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        processes = candidates(driver.pid, victim)
        if not processes:
            continue
        family = descendants(driver.pid)
        if driver.poll() is not None:
            continue  # by itself, meanwhile: no kill
        done[victim] += (
            interrupt(driver) if victim == "interrupt" else kill(choice.choice(processes))
        )
        print(f"kill {done.total():3}: {victim}", flush=True)
        progress("chaos", done.total() / kills, f"{done.total()} of {kills} kills")
        if victim in ("driver", "interrupt"):
            code = driver.wait()
            _, left = psutil.wait_procs(family, timeout=patience(LEFT_SECONDS))
            names = [one.name() for one in left if is_at_work(one)]
            if names:
                raise RuntimeError(f"chaos: {', '.join(names)} left behind ({victim})")
            if code == 0:
                return
            if code not in (*INTERRUPTED, -signal.SIGKILL):
                raise RuntimeError(f"chaos: a driver ended with exit code {code}")
            driver = start(name, place, folder)


def descendants(driver: int) -> list[psutil.Process]:
    try:
        return psutil.Process(driver).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def is_at_work(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def candidates(driver: int, victim: str) -> list[psutil.Process]:
    """Return the processes of a running sweep that a kind of victim is chosen from."""
    if victim in ("driver", "interrupt"):
        return [psutil.Process(driver)] if psutil.pid_exists(driver) else []
    found = []
    for child in descendants(driver):
        try:
            words, name = " ".join(child.cmdline()), child.name()
        except psutil.Error:
            continue
        is_wanted = {
            "worker": words.startswith("ray::") and "Agent" not in words,
            "client": "bench.sweep.apart" in words,
        }
        if is_wanted.get(victim, name == victim):
            found.append(child)
    return found


def interrupt(driver: subprocess.Popen) -> bool:
    """Press Ctrl-C three times, as a terminal does it: to every process of the group."""
    for _ in range(3):
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGINT)
            time.sleep(0.2)
    return True


def kill(process: psutil.Process) -> bool:
    # Not psutil's wait: it would take the exit code that the driver's Popen is to see.
    try:
        os.kill(process.pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="new folder; a temporary one if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        with telling_time_left() as progress:
            done = chaos(SWEEP, folder, options.kills, options.seed, progress)
    words = ", ".join(f"{count} of a {victim}" for victim, count in sorted(done.items()))
    print(f"survived {done.total()} kills ({words}): runs.csv and leaderboard.csv are identical")


if __name__ == "__main__":
    main()
