"""The engine: Ray gives each run its cores or its GPU, retries what is killed, brings records back."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from bench.config import Job
from bench.errors import InputError
from bench.sweep.matrix import Resources

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
WORKER_RETRIES = 5
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Finished:
    """A run that ended: its record (what ``work`` returned), or the reason why there is none."""

    key: str
    record: dict | None
    reason: str = ""


class Engine:
    """A Ray cluster: one embedded on this machine, or the running one at ``address``.

    Args:
        resources: What each run is given.
        address: Address of a running cluster; None starts one here, bound to loopback.
        workers: Largest number of runs at once; None is as many as fit.

    Raises:
        InputError: No node can ever give a run what it asks for.
    """

    def __init__(
        self, resources: Resources, address: str | None = None, workers: int | None = None
    ):
        import ray

        self.ray = ray
        options = {"logging_level": "ERROR", "log_to_driver": False, "configure_logging": False}
        if address is None:
            options |= {
                "num_cpus": os.cpu_count(),
                "include_dashboard": False,
                "object_store_memory": 128 * 2**20,
                "_node_ip_address": "127.0.0.1",
            }
        else:
            options["address"] = address
        try:
            ray.init(**options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"engine: no Ray cluster at {address}: {reason}") from None
        gpus = ray.cluster_resources().get("GPU", 0)
        wanted = resources.gpus
        self.gpus = (1 if gpus else 0) if wanted is None else wanted
        self.cpus, self.workers = resources.cpus, workers
        self._refuse_what_never_fits()
        self.board = ray.remote(num_cpus=0)(Board).remote()

    def _refuse_what_never_fits(self) -> None:
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        if any(n.get("CPU", 0) >= self.cpus and n.get("GPU", 0) >= self.gpus for n in nodes):
            return
        most = ", ".join(f"{n.get('CPU', 0):g} cores and {n.get('GPU', 0):g} GPUs" for n in nodes)
        self.close()
        raise InputError(
            f"resources: a run asks for {self.cpus:g} cores and {self.gpus:g} GPUs, and no node has "
            f"them (nodes: {most})"
        )

    @property
    def slots(self) -> int:
        """How many runs fit at once."""
        total = self.ray.cluster_resources()
        fits = [total.get("CPU", 0) / self.cpus if self.cpus else float("inf")]
        if self.gpus:
            fits.append(total.get("GPU", 0) / self.gpus)
        if self.workers:
            fits.append(self.workers)
        return max(int(min(fits)), 1)

    def map(self, jobs: list, work: Callable | None = None) -> Iterator[Finished | None]:
        """Do all jobs, yielding each as it ends, and None whenever nothing did for a moment.

        Args:
            jobs: Anything with a ``key``.
            work: What a worker does: called with a job and the board, returns what comes back.
                None trains and evaluates.
        """
        ray = self.ray
        remote = ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_retries=WORKER_RETRIES, max_calls=0
        )(work or execute)
        # A few more than run at once are handed over, so that no worker waits for the next.
        at_once = self.workers or 2 * self.slots
        waiting, pending = iter(jobs), {}
        while True:
            for job in islice(waiting, at_once - len(pending)):
                pending[remote.remote(job, self.board)] = job
            if not pending:
                return
            done, _ = ray.wait(list(pending), timeout=POLL_SECONDS)
            for reference in done:
                job = pending.pop(reference)
                try:
                    yield Finished(job.key, ray.get(reference))
                except ray.exceptions.RayTaskError as error:
                    # Not `raise`: one run's trouble must not end the others.
                    cause = " ".join(str(error.cause or error).split())
                    yield Finished(job.key, None, f"{type(error.cause).__name__}: {cause[:300]}")
                except ray.exceptions.RayError as error:
                    reason = " ".join(str(error).split())[:300]
                    yield Finished(job.key, None, f"{type(error).__name__}: {reason}")
            if not done:
                yield None

    def progress(self) -> dict[str, tuple[str, float, str]]:
        """Return {key: (phase, share done, text)} of the runs that have reported."""
        return self.ray.get(self.board.read.remote())

    def close(self) -> None:
        self.ray.shutdown()


def refuse_what_this_machine_lacks(resources: Resources) -> None:
    """Raise InputError if a run asks for more than there is here; needs no cluster to tell."""
    import torch

    cores, gpus = os.cpu_count() or 1, torch.cuda.device_count()
    if resources.cpus > cores or (resources.gpus or 0) > gpus:
        raise InputError(
            f"resources: a run asks for {resources.cpus:g} cores and {resources.gpus or 0:g} GPUs; "
            f"here are {cores} cores and {gpus} GPUs"
        )


class Board:
    """An actor on which runs write how far they are."""

    def __init__(self):
        self.rows: dict[str, tuple[str, float, str]] = {}

    def write(self, key: str, phase: str, share: float, text: str) -> None:
        self.rows[key] = (phase, share, text)

    def read(self) -> dict[str, tuple[str, float, str]]:
        return self.rows


def execute(job: Job, board) -> dict:
    """Do a run in a worker."""
    from bench.run import run

    return run(job, reporter(job.key, board))


def reporter(key: str, board) -> Callable[[str, float, str], None]:
    """Return a function that writes a run's progress on the board, once a second at most."""
    import time

    last = 0.0

    def report(phase: str, share: float, text: str) -> None:
        nonlocal last
        if time.monotonic() - last > 1.0:
            last = time.monotonic()
            board.write.remote(key, phase, share, text)

    return report
