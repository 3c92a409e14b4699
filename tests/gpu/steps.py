"""Part `steps`: waits, kernels and times of a training step, against what it takes at least."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from statistics import median

import torch

from bench.instruments.perf.floors import layer_sizes, products
from bench.records.types import Config
from tests.gpu.lines import Check
from tests.gpu.recipes import mnist_recipes
from tests.gpu.training import train

# Groups of steps that are not timed, and those that are.
WARM, TIMED = 2, 5
# Recipes of a dry run.
DRY = ("mnist-dynamic gated_vae", "mnist-256 realnvp")
# Kernels in a chain whose time is the launch floor.
CHAIN = 1000


def steps(check: Check) -> None:
    launch = launch_floor(check)
    recipes = mnist_recipes(check.dry)
    if check.dry:  # the others take a CPU minutes
        recipes = {name: recipes[name] for name in DRY}
    for name, config in recipes.items():
        with check.caught("steps", model=name):
            measured = measure(check, config)
            if launch is not None:
                measured["launch_floor_ms"] = measured["kernels"] * launch
            check.say("steps", model=name, **measured)


def launch_floor(check: Check) -> float | None:
    """Return the milliseconds between two kernels of a graph that do nothing."""
    if check.dry:
        return None
    x = torch.zeros(8, device=check.device)

    def chain() -> None:
        for _ in range(CHAIN):
            x.add_(1)

    eager = 1e3 * check.seconds_of(chain) / CHAIN
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        chain()
    captured = 1e3 * check.seconds_of(graph.replay) / CHAIN
    check.say("launch", eager_us=1e3 * eager, captured_us=1e3 * captured)
    return captured


def measure(check: Check, config: Config) -> dict[str, float | None]:
    """Return what a step of a recipe takes; on the card also its waits and kernels."""
    times: list[float] = []
    found: dict[str, float | None] = {}
    nothing = lambda number: nullcontext()
    visits = [nothing] * WARM + [lambda number: clocked(check, number, times)] * TIMED
    if not check.dry:
        visits += [lambda number: counted_waits(number, found)]
        visits += [lambda number: profiled(number, found)]
    check.forget_peak()
    model = train(config, check.device, visits)
    rows = config["trainer"]["batch_size"]
    sizes = layer_sizes(model)  # none of a network of convolutions
    with torch.device(check.device):
        floor = products(sizes, rows, backward=True)
    return {
        "ms": median(times),
        "products_ms": 1e3 * check.seconds_of(floor, 9) if sizes else None,
        "peak_mib": check.peak_mib(),
        **found,
    }


@contextmanager
def clocked(check: Check, number: int, times: list[float]) -> Iterator[None]:
    """Append the milliseconds of a step of this group of ``number`` steps."""
    check.wait()
    begun = time.perf_counter()
    yield
    check.wait()
    times.append(1e3 * (time.perf_counter() - begun) / number)


@contextmanager
def counted_waits(number: int, found: dict[str, float | None]) -> Iterator[None]:
    """Count how often a step makes the processor wait for the card."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found["waits"] = sum("synchroniz" in str(one.message) for one in seen) / number


@contextmanager
def profiled(number: int, found: dict[str, float | None]) -> Iterator[None]:
    """Count the kernels of a step and the time that the card is busy with them."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        yield
        torch.cuda.synchronize()
    kernels = [e for e in profiler.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    found["kernels"] = len(kernels) / number
    found["busy_ms"] = sum(event.device_time for event in kernels) / 1e3 / number
