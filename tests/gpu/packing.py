"""Part `packing`: how many steps a second several trainings on one card take together."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from tests.gpu.lines import ROOT, Check
from tests.gpu.recipes import mnist_recipes
from tests.gpu.training import train

MODEL = "mnist-dynamic gated_vae"
# Groups of steps that are timed.
GROUPS = 60
READY, GO = "ready", "go"


def packing(check: Check) -> None:
    for processes in (1,) if check.dry else (1, 2, 4, 8, 16):
        with check.caught("packing", processes=processes):
            rate = steps_a_second(check, processes)
            check.say("packing", processes=processes, model=MODEL, steps_a_second=rate)


def steps_a_second(check: Check, number: int) -> float:
    """Start trainings, let all of them begin at once, and return the steps a second of all."""
    groups = 2 if check.dry else GROUPS
    command = [sys.executable, "-m", "tests.gpu.packing", check.device.type, str(groups)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(number)]
    try:
        for process in started:
            if READY not in map(str.strip, iter(process.stdout.readline, "")):
                raise RuntimeError("a training ended before it began; was the memory too small?")
        begun = time.perf_counter()
        for process in started:
            process.stdin.write(GO + "\n")
            process.stdin.flush()
        steps = sum(int(process.stdout.readline()) for process in started)
        return steps / (time.perf_counter() - begun)
    finally:
        for process in started:
            process.kill()
            process.communicate()


def one_training(device: str, groups: int) -> None:
    """Train the groups after a warm-up, once the line GO has been read; print the number of steps."""
    done = 0

    @contextmanager
    def counted(number: int) -> Iterator[None]:
        nonlocal done
        yield
        done += number
        if device == "cuda":
            torch.cuda.synchronize()

    @contextmanager
    def waited_for(number: int) -> Iterator[None]:
        yield
        if device == "cuda":
            torch.cuda.synchronize()
        print(READY, flush=True)
        sys.stdin.readline()

    visits = [lambda number: nullcontext(), waited_for, *[counted] * groups]
    train(mnist_recipes(device == "cpu")[MODEL], torch.device(device), visits)
    print(done, flush=True)


if __name__ == "__main__":
    one_training(sys.argv[1], int(sys.argv[2]))
