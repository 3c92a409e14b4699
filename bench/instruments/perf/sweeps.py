"""Speed around the runs: start-up, the next run of a worker, two runs on two cores."""

import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from typing import Any
from unittest.mock import patch

import torch

from bench.configuration.job import Job
from bench.configuration.parsing import parse_run
from bench.instruments.perf.interleaved import Comparison, compare, interleave, seconds
from bench.instruments.perf.sizes import Sizes
from bench.instruments.progress import PartProgress, split_progress
from bench.runs.run import run
from bench.training.many_steps import ManySteps

SMALL = ["--trainer.max_epochs=1", "--evaluation.importance_samples=2"]


def small_job(folder: str, seed: int) -> Job:
    config = parse_run(["--data=digits-17", "--model=gaussian_vae", f"--seed={seed}", *SMALL])
    return Job(config, "gaussian_vae", "perf", folder, "disabled")


def startup_rows(sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    """Compare `bench --help` with 0.5 s, which nobody notices, and with the import of PyTorch."""
    help_text = lambda: subprocess.run(
        [sys.executable, "-m", "bench", "--help"], capture_output=True, check=True
    )
    torch_import = lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True)
    what = "bench --help"
    ours, other = interleave(
        help_text, lambda: seconds(torch_import), sizes.repeats, progress, what
    )
    return [
        compare(what, "half a second", "s", ours, [0.5] * len(ours), 1),
        compare(what, "importing PyTorch", "s", ours, other),
    ]


def warm_rows(sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    """Time from a run's call to its first training step, in a process that has done a run before."""
    what = "a warm worker's start of a run"
    steps: list[float] = []
    original = ManySteps.training_step

    def timed_step(self: ManySteps, *arguments: Any) -> Any:
        steps.append(time.perf_counter())
        return original(self, *arguments)

    waits = []
    with patch.object(ManySteps, "training_step", timed_step):
        for seed in range(1 + sizes.repeats):
            progress(seed / (1 + sizes.repeats), what)
            with tempfile.TemporaryDirectory() as folder:
                steps.clear()
                called = time.perf_counter()
                run(small_job(folder, seed))
                waits.append(steps[0] - called)
    warm = waits[1:]
    return [compare(what, "0.1 s", "s", warm, [0.1] * len(warm), 1)]


def work_for(seconds: float) -> int:
    """Do training steps on one thread for so many seconds; return the number of steps."""
    torch.set_num_threads(1)
    model = torch.nn.Sequential(
        torch.nn.Linear(784, 400), torch.nn.ReLU(), torch.nn.Linear(400, 784)
    )
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    x, steps = torch.rand(100, 784), 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        optimizer.zero_grad()
        (model(x) - x).square().mean().backward()
        optimizer.step()
        steps += 1
    return steps


def side_by_side_rows(sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    """Compare the joint training steps of two processes of one thread with those of one alone."""
    what, pairs = "two runs of one thread side by side", []
    with get_context("spawn").Pool(2) as pool:
        steps_of = lambda n: sum(pool.map(work_for, [sizes.seconds] * n, chunksize=1))
        steps_of(2)
        for number in range(sizes.repeats):
            progress(number / sizes.repeats, what)
            pairs.append((steps_of(2), steps_of(1)))
    per_step = lambda side: [1e3 * sizes.seconds / steps for steps in side]
    both, alone = map(per_step, zip(*pairs))
    return [compare(what, "one run alone", "ms a step", both, alone, 1.85)]


def sweep_rows(sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    measures = [startup_rows, warm_rows, side_by_side_rows]
    parts = split_progress(progress, [1] * len(measures))
    return [row for measure, part in zip(measures, parts) for row in measure(sizes, part)]
