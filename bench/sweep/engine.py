"""The engine: Ray assigns cores and GPUs to runs, retries killed workers and returns records."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from bench.sweep.jobs import (
    EngineLost,
    EngineNotStarted,
    Finished,
    Keyed,
    WorkerFunction,
    execute,
    failed_with,
)
from bench.sweep.progress import RunProgress
from bench.sweep.reachable import refuse_no_cluster
from bench.sweep.resources import Request, refuse_what_never_fits
from bench.sweep.worker import Board, tethered
from bench.system.cublas import own_workspace
from bench.system.devices import visible_gpus
from bench.system.machine import GIB, usable_cores, usable_memory

if TYPE_CHECKING:
    from ray import ObjectRef

# A worker outlives its runs, which may get different GPUs, so PyTorch must see all GPUs from the
# start. Each run gets the names of its own.
WORKER_ENVIRONMENT = {
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
os.environ.update(
    {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "disabled"),
        # A run that was killed for lack of memory is retried as often as any other, not forever.
        "RAY_task_oom_retries": os.environ.get("RAY_task_oom_retries", "2"),
        **WORKER_ENVIRONMENT,
    }
)
WORKER_RETRIES = 5
LOOPBACK = ("127.", "localhost", "[::1]")
POLL_SECONDS = 0.5


class Engine:
    """A Ray cluster: one embedded on this machine, or the running one at ``address``.

    Args:
        address: Address of a running cluster; None starts one here, bound to loopback.
        workers: Largest number of runs at once; None is as many as fit.
        logical: Numbers of cores and GPUs that an embedded cluster claims to have,
            ``{"num_cpus": …, "num_gpus": …}``; None is what the machine has.

    Raises:
        InputError: There is no cluster at the address.
        EngineNotStarted: Ray cannot start or connect.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        logical: dict[str, int] | None = None,
    ):
        if address is None or address.startswith(LOOPBACK):
            # At 0 all of Ray's servers listen on loopback alone, whatever the variable's name says.
            # Ray reads it once, when it is imported.
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        import ray

        if address is not None:
            refuse_no_cluster(address)
        self.ray, self.workers = ray, workers
        options: dict[str, Any] = {
            "logging_level": "ERROR",
            "log_to_driver": False,
            "configure_logging": False,
        }
        if address is None:
            options |= {
                "address": "local",  # else Ray joins a cluster that happens to run here
                "num_cpus": usable_cores(),
                "_memory": int(usable_memory() * GIB),
                "include_dashboard": False,
                "object_store_memory": 128 * 2**20,
            } | (logical or {})
        else:
            variables = WORKER_ENVIRONMENT | own_workspace()
            options |= {"address": address, "runtime_env": {"env_vars": variables}}
        try:
            ray.init(**options)
        except Exception as error:  # Ray raises many types, a bare Exception among them
            self.close()
            where = f"no Ray cluster at {address}" if address else "Ray does not start here"
            raise EngineNotStarted(f"engine: {where}: {one_line(error)}") from None
        # Slurm and others end a job by SIGTERM, which stops as cleanly as Ctrl-C. It replaces the
        # handler that Ray has just installed, which aborts.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        with self._lost():
            # Ray's types do not know the methods of an actor's handle.
            self.board: Any = ray.remote(num_cpus=0, max_restarts=-1)(Board).remote()
        self._read_board: ObjectRef[dict[str, RunProgress]] | None = None
        self._last_board: dict[str, RunProgress] = {}

    @property
    def has_gpus(self) -> bool:
        with self._lost():
            return self.ray.cluster_resources().get("GPU", 0) > 0

    def refuse_what_never_fits(self, requests: list[Request]) -> None:
        """Raise InputError if a run asks for more than every node has."""
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
        self,
        jobs: Sequence[Keyed],
        requests: dict[str, Request],
        work: WorkerFunction | None = None,
    ) -> Iterator[Finished | None]:
        """Do all jobs, yielding each as it ends, and None whenever none has ended for a moment.

        Args:
            jobs: The jobs.
            requests: {key: resources of the job}.
            work: The function that a worker calls; None is `execute`, which trains and evaluates.

        Raises:
            InputError: A job asks for more than every node has.
            EngineLost: The cluster is gone.
        """
        ray, wanted = self.ray, [requests[job.key] for job in jobs]
        self.refuse_what_never_fits(wanted)
        remote = ray.remote(max_retries=WORKER_RETRIES, max_calls=0)(tethered)
        options = {request: remote.options(**ray_options(request)) for request in set(wanted)}
        # More jobs are submitted than run at once, so that no worker waits for its next one.
        at_once = self.workers or 2 * self.slots(wanted)
        waiting = iter(jobs)
        pending: dict[ObjectRef[Any], Keyed] = {}
        while True:
            with self._lost():
                for job in islice(waiting, at_once - len(pending)):
                    task = options[requests[job.key]]
                    pending[task.remote(work or execute, job, self.board)] = job
                if not pending:
                    return
                done, _ = ray.wait(list(pending), timeout=POLL_SECONDS)
                if done:  # then take all that have ended
                    done, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0)
            for reference in done:
                yield self._result(pending.pop(reference), reference)
            if not done:
                yield None

    def _result(self, job: Keyed, reference: "ObjectRef[Any]") -> Finished:
        exceptions = self.ray.exceptions
        try:
            return Finished(job.key, self.ray.get(reference))
        except exceptions.RayTaskError as error:
            return failed_with(job.key, error.cause or error)
        except exceptions.OutOfMemoryError:
            return Finished(job.key, None, "out of memory: its machine killed it on every attempt")
        except (exceptions.WorkerCrashedError, exceptions.NodeDiedError) as error:
            trouble, times = self._complaint(job.key), WORKER_RETRIES + 1
            if trouble:
                return Finished(job.key, None, f"{trouble}; tried {times} times, not recorded")
            killed = f"its worker was killed {times} times ({type(error).__name__})"
            return Finished(job.key, None, killed)
        except exceptions.RayError as error:
            raise EngineLost(one_line(error)) from None

    def _complaint(self, key: str) -> str | None:
        """Return the trouble of the machine for which a job's last worker ended; None without any."""
        try:
            answer: str | None = self.ray.get(self.board.complaint.remote(key), timeout=5)
        except self.ray.exceptions.RayError:
            return None  # the board was restarted, or is being
        return answer

    def progress(self) -> dict[str, RunProgress]:
        """Return the progress of the runs that have reported, by key.

        Never waits: an answer that is not there yet is read by a later call.
        """
        try:
            if self._read_board is None:
                self._read_board = self.board.read.remote()
            if self.ray.wait([self._read_board], timeout=0)[0]:
                answer, self._read_board = self._read_board, None
                self._last_board = self.ray.get(answer)
        except self.ray.exceptions.RayError:
            self._last_board = {}  # Ray restarts the board, and runs report again
        return self._last_board

    @contextmanager
    def _lost(self) -> Iterator[None]:
        """Raise EngineLost for each of the errors by which Ray says that the cluster is gone."""
        try:
            yield
        except (self.ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            raise EngineLost(one_line(error)) from None

    def close(self) -> None:
        """Disconnect from the cluster, and end it if it is embedded."""
        self.ray.shutdown()


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def ray_options(request: Request) -> dict[str, float]:
    options = {"num_cpus": request.cpus, "num_gpus": request.gpus}
    return options | ({"memory": int(request.memory_gib * GIB)} if request.memory_gib else {})


def machine() -> tuple[float, float, float]:
    """Return (cores, GPUs, GiB of memory) that runs may use on this machine; needs no cluster."""
    return usable_cores(), len(visible_gpus()), usable_memory()
