"""Shared set-up: one thread, and small configurations that train in a second."""

import os
import time

os.environ["WANDB_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import pytest  # noqa: E402
import torch  # noqa: E402

from bench.parsing import parse_run  # noqa: E402
from tests.warm import Server  # noqa: E402

torch.set_num_threads(1)

SMALL = (
    "--trainer.max_epochs=4",
    "--trainer.validate_every=2",
    "--trainer.learning_rate=2e-3",
    "--evaluation.importance_samples=12",
)
SMALL_VAE = (
    "--model.encoder.widths=[16]",
    "--model.decoder_network.widths=[16]",
    "--model.latent_dimensions=3",
)


def small_config(model: str, data: str = "digits-17", *more: str) -> dict:
    """Return the configuration of a run of a few seconds."""
    options = ["--data", data, "--model", model, *SMALL]
    if model.endswith("vae"):
        options += SMALL_VAE
    if model == "realnvp":
        options += ["--model.widths=[16]", "--model.couplings=2"]
    if model == "aggregate_vae":
        options += ["--model.prior.exemplars=50"]
    return parse_run([*options, *more])


@pytest.fixture
def config_of():
    return small_config


@pytest.fixture(scope="session")
def warm():
    """Starts Python in processes of their own that need not import the large libraries."""
    server = Server()
    yield server
    server.close()


class ThisProcess:
    """What a sweep asks of an engine, done here."""

    has_gpus = False

    def __init__(self, address, workers):
        pass

    def map(self, jobs, requests):
        from bench.run import run
        from bench.sweep.engine import Finished

        for job in jobs:
            yield Finished(job.key, run(job))

    def progress(self):
        return {}

    def slots(self, requests):
        return 1

    def close(self):
        pass


@pytest.fixture
def without_engine(monkeypatch):
    """Let sweeps do their runs in this process, where it is not the engine that is tested."""
    monkeypatch.setattr("bench.sweep.engine.Engine", ThisProcess)


def patience(seconds: float) -> float:
    """Return how long to wait before a wait counts as one for ever.

    Args:
        seconds: Ample on an idle machine. One that is busier, or slower than 0.1 s for a loop of a
            million, is given as much more; BENCH_PATIENCE multiplies it once again.
    """
    started = time.perf_counter()
    sum(1 for _ in range(1_000_000))
    slowness = (time.perf_counter() - started) / 0.1
    load = os.getloadavg()[0] / len(os.sched_getaffinity(0))
    return seconds * max(1.0, slowness, load) * float(os.environ.get("BENCH_PATIENCE", 1))
