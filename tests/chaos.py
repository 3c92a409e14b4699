"""A sweep whose processes are killed at random must end in the same bytes.

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
from bench.config import Report

SWEEP = Path(__file__).with_name("chaos.yaml")
TABLES = ("runs.csv", "leaderboard.csv")
# Who is killed, and how often among a hundred.
VICTIMS = {"worker": 60, "driver": 25, "node": 15}


def chaos(name: Path, folder: Path, kills: int, seed: int, report: Report) -> Counter:
    """Run a sweep undisturbed, then under SIGKILLs until there were ``kills``; compare the tables.

    Where the disturbed sweep ends before that, it is compared and begun anew.

    Args:
        name: The sweep's YAML file.
        folder: Empty or new folder for the results.
        kills: Number of SIGKILLs.
        seed: Of the choice of victims and moments.
        report: Is told how far it is.

    Returns:
        {victim: number of kills}.

    Raises:
        RuntimeError: The tables differ, or a driver fails that was not killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report("chaos", 0.0, "the undisturbed sweep")
    started = time.monotonic()
    finish(start(name, folder / "calm", folder))
    took = time.monotonic() - started
    choice, done, round_number = random.Random(seed), Counter(), 0
    while done.total() < kills:
        round_number += 1
        place = folder / f"disturbed-{round_number}"
        disturb(name, place, folder, kills, choice, done, took, report)
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
    report: Report,
) -> None:
    """Drive a sweep to its end, killing; ``took`` is how long an undisturbed one lasts."""
    driver, node_was_killed = start(name, place, folder), False
    while True:
        # From the start of a driver on: also while its engine starts, and while it writes tables.
        try:
            code = driver.wait(choice.uniform(0.0, 0.5 * took))
        except subprocess.TimeoutExpired:
            code = None
        if code == 0:
            return
        if code == 1 and node_was_killed:
            # Ray ends a process whose node dies while it starts. The same command goes on, and
            # must end well if it is let alone.
            driver, node_was_killed = start(name, place, folder), False
            continue
        if code is not None and code != -signal.SIGKILL:
            raise RuntimeError(f"chaos: a driver ended with exit code {code}")
        if code is None and done.total() < kills:
            victim = choice.choices(list(VICTIMS), list(VICTIMS.values()))[0]
            processes = candidates(driver.pid, victim)
            if processes:
                chosen = choice.choice(processes)
                done[victim] += kill(chosen)
                print(f"kill {done.total():3}: {victim}", flush=True)
                report("chaos", done.total() / kills, f"{done.total()} of {kills} kills")
                node_was_killed |= victim == "node"
                if victim == "driver":
                    driver.wait()
        if driver.poll() == -signal.SIGKILL:
            driver, node_was_killed = start(name, place, folder), False


def candidates(driver: int, victim: str) -> list[psutil.Process]:
    """Return the processes of a running sweep that a kind of victim is chosen from."""
    try:
        process = psutil.Process(driver)
        if victim == "driver":
            return [process]
        children = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    found = []
    for child in children:
        try:
            words = " ".join(child.cmdline())
        except psutil.Error:
            continue
        is_node = os.path.basename(words.split(" ")[0]) == "raylet"
        is_worker = words.startswith("ray::") and "Agent" not in words
        if is_node if victim == "node" else is_worker:
            found.append(child)
    return found


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
        with telling_time_left() as report:
            done = chaos(SWEEP, folder, options.kills, options.seed, report)
    words = ", ".join(f"{count} of a {victim}" for victim, count in sorted(done.items()))
    print(f"survived {done.total()} kills ({words}): runs.csv and leaderboard.csv are identical")


if __name__ == "__main__":
    main()
