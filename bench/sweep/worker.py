"""A worker of the engine: what it does with a job, and the actor to which all workers report."""

import os
import threading
import time
from contextlib import suppress
from typing import Any, NoReturn

from bench.sweep.jobs import Assigned, Keyed, WorkerFunction
from bench.sweep.progress import RunProgress
from bench.system.device_trouble import device_trouble
from bench.system.devices import Reserved, set_gpu_share
from bench.system.memory import keep_freed_memory

TETHER = "tether"


class Board:
    """An actor to which runs report their progress, and workers why they end."""

    def __init__(self) -> None:
        self.rows: dict[str, RunProgress] = {}
        self.complaints: dict[str, str] = {}

    def write(self, key: str, phase: str, share: float, text: str) -> None:
        self.rows[key] = (phase, share, text)

    def read(self) -> dict[str, RunProgress]:
        return self.rows

    def complain(self, key: str, trouble: str) -> None:
        self.complaints[key] = trouble

    def complaint(self, key: str) -> str | None:
        return self.complaints.get(key)


def tethered(work: WorkerFunction, job: Keyed, board: Any) -> Any:
    """Do ``work`` in a worker that ends with its node: an orphaned worker cannot return results.

    It also ends where the machine is in trouble: the CUDA context of this process may be unusable,
    and Ray gives a job whose worker has ended to another one.
    """
    keep_freed_memory()
    if not any(thread.name == TETHER for thread in threading.enumerate()):
        threading.Thread(target=end_with, args=(os.getppid(),), name=TETHER, daemon=True).start()
    gpus = reserved_gpus()
    set_gpu_share(gpus.share)
    try:
        return work(job, Assigned(gpus, board.write.remote))
    except Exception as error:
        trouble = device_trouble(error, gpus.share)
        if trouble is None:
            raise
        say_and_end(job.key, str(trouble), board)


def reserved_gpus() -> Reserved:
    """Return the GPUs that Ray has reserved for the task of this worker."""
    import ray

    names = tuple(str(name).strip() for name in ray.get_gpu_ids())
    amount = float(ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0))
    return Reserved(names, min(amount, 1.0) if names else 1.0)


def say_and_end(key: str, trouble: str, board: Any) -> NoReturn:
    """Tell the board why this worker ends, and end it."""
    import ray

    with suppress(ray.exceptions.RayError):
        ray.get(board.complain.remote(key, trouble), timeout=5)
    os._exit(1)


def end_with(parent: int) -> None:
    """End this process once its parent has ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
