"""The engine: Ray gives each run its cores or its GPU, retries what is killed, brings records back."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bench.configuration.job import Job
from bench.errors import InputError
from bench.sweep.reachable import refuse_no_cluster
from bench.sweep.resources import Request, refuse_what_never_fits
from bench.system.machine import GIB, usable_cores, usable_memory
from bench.system.memory import keep_freed_memory

# A worker outlives its runs, and its runs may be given different GPUs; PyTorch must see them all
# from the start. Each run is told which are its own.
WORKER_ENVIRONMENT = {
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
os.environ.update(
    {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "disabled"),
        # A run that was killed for want of memory is tried again as often as any other, not for ever.
        "RAY_task_oom_retries": os.environ.get("RAY_task_oom_retries", "2"),
        **WORKER_ENVIRONMENT,
    }
)
WORKER_RETRIES = 5
TETHER = "tether"
LOOPBACK = ("127.", "localhost", "[::1]")
POLL_SECONDS = 0.5


class EngineLost(RuntimeError):
    """The cluster itself is gone, or this process' part of it.

    Attributes:
        retries: How often in a row an engine of our own is started again after it, without that any
            job has ended meanwhile.
    """

    retries = 10


class EngineNotStarted(InputError, EngineLost):
    """There was none: a process of it was killed meanwhile, or Ray cannot work here."""

    retries = 2


@dataclass(frozen=True)
class Finished:
    """A run that ended: its record (what ``work`` returned), or the reason why there is none."""

    key: str
    record: dict | None
    reason: str = ""


class Engine:
    """A Ray cluster: one embedded on this machine, or the running one at ``address``.

    Args:
        address: Address of a running cluster; None starts one here, bound to loopback.
        workers: Largest number of runs at once; None is as many as fit.
        logical: Numbers of cores and GPUs that an embedded cluster pretends to have,
            ``{"num_cpus": …, "num_gpus": …}``; None is what the machine has.

    Raises:
        InputError: There is no cluster at the address.
    """

    def __init__(
        self, address: str | None = None, workers: int | None = None, logical: dict | None = None
    ):
        if address is None or address.startswith(LOOPBACK):
            # Ray's name for it is historical: at 0 all of its servers listen on loopback alone.
            # Read once, when Ray is imported.
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        import ray

        if address is not None:
            refuse_no_cluster(address)
        self.ray, self.workers = ray, workers
        options = {"logging_level": "ERROR", "log_to_driver": False, "configure_logging": False}
        if address is None:
            options |= {
                "address": "local",  # else Ray joins a cluster that happens to run here
                "num_cpus": usable_cores(),
                "_memory": int(usable_memory() * GIB),
                "include_dashboard": False,
                "object_store_memory": 128 * 2**20,
            } | (logical or {})
        else:
            options |= {"address": address, "runtime_env": {"env_vars": WORKER_ENVIRONMENT}}
        try:
            ray.init(**options)
        except Exception as error:  # Ray has many ways, a bare Exception among them
            self.close()
            where = f"no Ray cluster at {address}" if address else "Ray does not start here"
            raise EngineNotStarted(f"engine: {where}: {one_line(error)}") from None
        # Slurm and others end a job by SIGTERM: the same clean stop as Ctrl-C. Ray has just put a
        # handler of its own there, which aborts.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        with self._lost():
            self.board = ray.remote(num_cpus=0, max_restarts=-1)(Board).remote()
        self._read_board, self._last_board = None, {}

    @property
    def has_gpus(self) -> bool:
        with self._lost():
            return self.ray.cluster_resources().get("GPU", 0) > 0

    def refuse_what_never_fits(self, requests: list[Request]) -> None:
        """Raise InputError if no node can ever give a run what it asks for."""
        with self._lost():
            nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        refuse_what_never_fits(
            requests,
            [(n.get("CPU", 0), n.get("GPU", 0), n.get("memory", 0) / GIB) for n in nodes],
        )

    def slots(self, requests: list[Request]) -> int:
        """Return how many of these runs fit at once."""
        with self._lost():
            total = self.ray.cluster_resources()
        fits = [total.get("CPU", 0) / min(request.cpus for request in requests)]
        least_gpus = min(request.gpus for request in requests)
        if least_gpus:
            fits.append(total.get("GPU", 0) / least_gpus)
        return max(min(int(min(fits)), self.workers or len(requests), len(requests)), 1)

    def map(
        self, jobs: list, requests: dict[str, Request], work: Callable | None = None
    ) -> Iterator[Finished | None]:
        """Do all jobs, yielding each as it ends, and None whenever nothing did for a moment.

        Args:
            jobs: Anything with a ``key``.
            requests: {key: what the job is given}.
            work: What a worker does: called with a job and the board, returns what comes back.
                None trains and evaluates.

        Raises:
            InputError: A job asks for what no node has.
        """
        ray, wanted = self.ray, [requests[job.key] for job in jobs]
        self.refuse_what_never_fits(wanted)
        remote = ray.remote(max_retries=WORKER_RETRIES, max_calls=0)(tethered)
        options = {request: remote.options(**ray_options(request)) for request in set(wanted)}
        # A few more than run at once are handed over, so that no worker waits for the next.
        at_once = self.workers or 2 * self.slots(wanted)
        waiting, pending = iter(jobs), {}
        while True:
            with self._lost():
                for job in islice(waiting, at_once - len(pending)):
                    task = options[requests[job.key]]
                    pending[task.remote(work or execute, job, self.board)] = job
                if not pending:
                    return
                done, _ = ray.wait(list(pending), timeout=POLL_SECONDS)
                if done:  # whatever else has ended meanwhile
                    done, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0)
            for reference in done:
                yield self._result(pending.pop(reference), reference)
            if not done:
                yield None

    def _result(self, job, reference) -> Finished:
        exceptions = self.ray.exceptions
        try:
            return Finished(job.key, self.ray.get(reference))
        except exceptions.RayTaskError as error:
            # Not `raise`: one run's trouble must not end the others.
            cause = error.cause or error
            name = "" if isinstance(cause, InputError) else f"{type(cause).__name__}: "
            return Finished(job.key, None, name + " ".join(str(cause).split())[:300])
        except exceptions.OutOfMemoryError:
            return Finished(job.key, None, "out of memory: its machine killed it again and again")
        except (exceptions.WorkerCrashedError, exceptions.NodeDiedError) as error:
            return Finished(
                job.key,
                None,
                f"its worker was killed {WORKER_RETRIES + 1} times ({type(error).__name__})",
            )
        except exceptions.RayError as error:
            raise EngineLost(one_line(error)) from None

    def progress(self) -> dict[str, tuple[str, float, str]]:
        """Return {key: (phase, share done, text)} of the runs that have reported.

        Never waits: an answer that takes its time is read at a later call.
        """
        try:
            if self._read_board is None:
                self._read_board = self.board.read.remote()
            if self.ray.wait([self._read_board], timeout=0)[0]:
                answer, self._read_board = self._read_board, None
                self._last_board = self.ray.get(answer)
        except self.ray.exceptions.RayError:  # killed; it starts anew, and runs report again
            self._last_board = {}
        return self._last_board

    @contextmanager
    def _lost(self) -> Iterator[None]:
        """Raise EngineLost where Ray says, in one of its ways, that the cluster is gone."""
        try:
            yield
        except (self.ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            raise EngineLost(one_line(error)) from None

    def close(self) -> None:
        """End what this process has of the engine."""
        self.ray.shutdown()


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def ray_options(request: Request) -> dict:
    options = {"num_cpus": request.cpus, "num_gpus": request.gpus}
    return options | ({"memory": int(request.memory_gib * GIB)} if request.memory_gib else {})


def machine() -> tuple[float, float, float]:
    """Return (cores, GPUs, GiB of memory) that runs may use here; needs no cluster to tell."""
    import torch

    return usable_cores(), torch.cuda.device_count(), usable_memory()


class Board:
    """An actor on which runs write how far they are."""

    def __init__(self):
        self.rows: dict[str, tuple[str, float, str]] = {}

    def write(self, key: str, phase: str, share: float, text: str) -> None:
        self.rows[key] = (phase, share, text)

    def read(self) -> dict[str, tuple[str, float, str]]:
        return self.rows


def tethered(work: Callable, job, board) -> Any:
    """Do ``work`` in a worker that ends with its node: one without could never hand in a result."""
    keep_freed_memory()
    if not any(thread.name == TETHER for thread in threading.enumerate()):
        threading.Thread(target=end_with, args=(os.getppid(),), name=TETHER, daemon=True).start()
    return work(job, board)


def end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def execute(job: Job, board) -> dict:
    """Do a run in a worker."""
    import ray

    from bench.runs.run import run

    gpus = [str(name) for name in ray.get_gpu_ids()]
    return run(job, reporter(job.key, board), gpus)


def reporter(key: str, board) -> Callable[[str, float, str], None]:
    """Return a function that writes a run's progress on the board, once a second at most."""
    last = 0.0

    def report(phase: str, share: float, text: str) -> None:
        nonlocal last
        if time.monotonic() - last > 1.0:
            last = time.monotonic()
            board.write.remote(key, phase, share, text)

    return report
