"""Shared set-up: one thread, and small configurations that train in a second."""

import copy
import gc
import os
import sys
import time
from contextlib import nullcontext
from functools import cache, lru_cache

os.environ["WANDB_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import pytest  # noqa: E402

from tests.warm import EXECUTABLE, Server, Warm  # noqa: E402

# Imports make millions of objects, of which none is garbage.
gc.disable()

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


# What launchers set for one rank of several, and Lightning's own defaults for a Trainer.
LAUNCHED = {
    "Slurm": {
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_PROCID": "1",
        "SLURM_LOCALID": "1",
        "SLURM_NODEID": "0",
        "SLURM_JOB_ID": "77",
        "SLURM_JOB_NAME": "train",
        "SLURM_NODELIST": "node[1-2]",
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "1",
    },
    "torchrun": {
        "RANK": "1",
        "LOCAL_RANK": "1",
        "NODE_RANK": "1",
        "GROUP_RANK": "1",
        "ROLE_RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_WORLD_SIZE": "1",
        "MASTER_ADDR": "192.0.2.1",
        "MASTER_PORT": "1",
        "TORCHELASTIC_RUN_ID": "77",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "STANDALONE_PORT": "1",
    },
    "LSF": {
        "LSB_JOBID": "77",
        "LSB_DJOB_RANKFILE": "/nowhere",
        "JSM_NAMESPACE_SIZE": "2",
        "JSM_NAMESPACE_RANK": "1",
        "JSM_NAMESPACE_LOCAL_RANK": "1",
    },
    "MPI": {
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": "1",
        "PMI_RANK": "1",
        "PMI_SIZE": "2",
    },
    "Kubernetes": {
        "KUBERNETES_SERVICE_HOST": "192.0.2.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "KUBERNETES_PORT": "tcp://192.0.2.1:443",
    },
    "Lightning": {
        "PL_GLOBAL_SEED": "7",
        "PL_SEED_WORKERS": "1",
        "PL_TRAINER_MAX_STEPS": "1",
        "PL_TRAINER_FAST_DEV_RUN": "1",
        "PL_TRAINER_LIMIT_TRAIN_BATCHES": "1",
        "PL_TRAINER_LIMIT_VAL_BATCHES": "0",
        "PL_TRAINER_ACCUMULATE_GRAD_BATCHES": "2",
    },
}


def is_controller(config) -> bool:
    """Tell whether this process only hands tests out to others (pytest-xdist)."""
    return bool(config.getoption("numprocesses", None)) and not hasattr(config, "workerinput")


def pytest_sessionstart(session):
    if not is_controller(session.config):
        import torch

        torch.set_num_threads(1)


def pytest_collection_finish(session):
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Give the processes that do the tests one warm process for all."""
    if not hasattr(node.config, "warm"):
        node.config.warm = Server()
        node.config.add_cleanup(node.config.warm.close)
    node.workerinput["warm"] = node.config.warm.address


def small_config(model: str, data: str = "digits-17", *more: str) -> dict:
    """Return the configuration of a run of a few seconds."""
    return copy.deepcopy(parsed_once(model, data, *more))


@cache
def parsed_once(model: str, data: str, *more: str) -> dict:
    """Parsing takes longer than many of the tests that begin with it, and most begin with the same."""
    from bench.configuration.parsing import parse_run

    options = ["--data", data, "--model", model, *SMALL]
    if model.endswith("vae"):
        options += SMALL_VAE
    if model == "realnvp":
        options += ["--model.widths=[16]", "--model.couplings=2"]
    if model == "aggregate_vae":
        options += ["--model.prior.exemplars=50"]
    return parse_run([*options, *more])


@pytest.fixture
def points(monkeypatch):
    """The curves of all runs, as W&B would be given them."""
    import bench.runs.run
    from bench.tracking.logger import Tracker

    seen, tracker = [], Tracker()
    tracker.log = seen.append
    monkeypatch.setattr(bench.runs.run, "tracked", lambda *_: nullcontext(tracker))
    return seen


@pytest.fixture
def config_of():
    return small_config


@pytest.fixture(scope="session")
def warm(request):
    """Starts Python in processes of their own that need not import the large libraries."""
    if hasattr(request.config, "workerinput"):
        yield Warm(request.config.workerinput["warm"])
        return
    server = Server()
    yield Warm(server.address)
    server.close()


@pytest.fixture
def warm_ranks(warm, monkeypatch):
    """Let the ranks of a run be processes that need not import the large libraries either."""
    monkeypatch.setattr(sys, "executable", warm.python)
    monkeypatch.setenv(EXECUTABLE, warm.python)


class ThisProcess:
    """What a sweep asks of an engine, done here."""

    has_gpus = False

    def __init__(self, address, workers):
        pass

    def map(self, jobs, requests, work=None):
        from bench.sweep.jobs import Assigned, Finished, execute
        from bench.system.devices import Reserved

        assigned = Assigned(Reserved(), lambda *_: None)
        for job in jobs:
            yield Finished(job.key, (work or execute)(job, assigned))

    def progress(self):
        return {}

    def slots(self, requests):
        return 1

    def close(self):
        pass


@pytest.fixture
def without_engine(monkeypatch):
    """Let sweeps do their runs in this process, where it is not the engine that is tested."""
    monkeypatch.setattr("bench.sweep.apart.EngineApart", ThisProcess)


def patience(seconds: float) -> float:
    """Return how long to wait before a wait counts as one for ever.

    Args:
        seconds: Ample on an idle machine. One that is busier, or slower than 0.1 s for a loop of a
            million, is given as much more; BENCH_PATIENCE multiplies it once again.
    """
    load = os.getloadavg()[0] / len(os.sched_getaffinity(0))
    return seconds * max(1.0, slowness(), load) * float(os.environ.get("BENCH_PATIENCE", 1))


@lru_cache(maxsize=1)
def slowness() -> float:
    started = time.perf_counter()
    sum(1 for _ in range(1_000_000))
    return (time.perf_counter() - started) / 0.1
