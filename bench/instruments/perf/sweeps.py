"""Speed around the runs: start-up, a worker's next run, two runs on two cores."""

import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context

import torch

from bench.configuration.job import Job
from bench.configuration.parsing import parse_run
from bench.instruments.perf.interleaved import Comparison, by_turns, compare, seconds
from bench.instruments.perf.sizes import Sizes, Tell, part_of
from bench.runs.run import run
from bench.training.module import GenerativeModel

SMALL = ["--trainer.max_epochs=1", "--evaluation.importance_samples=2"]


def small_job(folder: str, seed: int, *more: str) -> Job:
    config = parse_run(
        ["--data=digits-17", "--model=gaussian_vae", f"--seed={seed}", *SMALL, *more]
    )
    return Job(config, "gaussian_vae", "perf", folder, "disabled")


def startup_rows(sizes: Sizes, tell: Tell) -> list[Comparison]:
    """`bench --help` against the 0.5 s that a person does not notice, and against PyTorch's import."""
    help_text = lambda: subprocess.run(
        [sys.executable, "-m", "bench", "--help"], capture_output=True, check=True
    )
    torch_import = lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True)
    what = "bench --help"
    other = lambda: seconds(torch_import)
    ours, other = by_turns(help_text, other, sizes.repeats, tell, what)
    return [
        compare(what, "half a second", "s", ours, [0.5] * len(ours), 1),
        compare(what, "importing PyTorch", "s", ours, other),
    ]


def warm_rows(sizes: Sizes, tell: Tell) -> list[Comparison]:
    """From a run's call to its first training step, in a process that has done a run before."""
    what, first_step = "a warm worker's start of a run", []
    original = GenerativeModel.training_step

    def noted(self, *arguments):
        first_step.append(time.perf_counter())
        return original(self, *arguments)

    waits = []
    GenerativeModel.training_step = noted
    try:
        for seed in range(1 + sizes.repeats):
            tell(seed / (1 + sizes.repeats), what)
            with tempfile.TemporaryDirectory() as folder:
                first_step.clear()
                called = time.perf_counter()
                run(small_job(folder, seed))
                waits.append(first_step[0] - called)
    finally:
        GenerativeModel.training_step = original
    warm = waits[1:]
    return [compare(what, "0.1 s", "s", warm, [0.1] * len(warm), 1)]


def work_for(seconds: float) -> int:
    """Do training steps on one thread for so long; return their number."""
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


def side_by_side_rows(sizes: Sizes, tell: Tell) -> list[Comparison]:
    """Two processes of one thread each against one alone: training steps a second, together."""
    what, pairs = "two runs of one thread side by side", []
    with get_context("spawn").Pool(2) as pool:
        measure = lambda n: sum(pool.map(work_for, [sizes.seconds] * n, chunksize=1))
        measure(2)
        for number in range(sizes.repeats):
            tell(number / sizes.repeats, what)
            pairs.append((measure(2), measure(1)))
    per_step = lambda side: [1e3 * sizes.seconds / steps for steps in side]
    both, alone = map(per_step, zip(*pairs))
    return [compare(what, "one run alone", "ms a step", both, alone, 1.85)]


def sweep_rows(sizes: Sizes, tell: Tell) -> list[Comparison]:
    parts = [startup_rows, warm_rows, side_by_side_rows]
    return [
        row
        for number, part in enumerate(parts)
        for row in part(sizes, part_of(tell, number, len(parts)))
    ]
