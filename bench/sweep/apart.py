"""The engine in a process of its own, so that nothing that ends it ends the driver: Ray may abort."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from bench.sweep.engine import Engine
from bench.sweep.jobs import EngineLost, EngineNotStarted, Finished, Keyed, WorkerFunction
from bench.sweep.progress import RunProgress
from bench.sweep.reachable import refuse_no_ray
from bench.sweep.resources import Request
from bench.sweep.session import end_session, members, process
from bench.system.devices import visible_gpus

# Processes that a cluster needs. A minute after one has died, Ray's client aborts.
CORE = ("gcs_server", "raylet")
WATCH_SECONDS = 0.25
CLOSE_SECONDS = 10.0
STOPS = (signal.SIGINT, signal.SIGTERM)


class EngineApart:
    """An Engine in another process. It shares a session with all that it starts, and ends with this one.

    Args:
        address: Address of a running cluster; None starts one here, bound to loopback.
        workers: Largest number of runs at once; None is as many as fit.
        logical: Numbers of cores and GPUs that an embedded cluster claims to have.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
        EngineNotStarted: An embedded engine could not be started.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        logical: dict[str, int] | None = None,
    ):
        refuse_no_ray()
        if address is None:
            # Ray also counts GPUs that PyTorch cannot use.
            logical = {"num_gpus": len(visible_gpus())} | (logical or {})
        self.connection, theirs = multiprocessing.Pipe()
        words = [str(theirs.fileno()), str(os.getpid())]
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.sweep.apart", *words],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # Ray's core would write into the live table
                stderr=subprocess.DEVNULL,
            )
        self._board: dict[str, RunProgress] = {}
        try:
            self.has_gpus: bool = self._ask("start", address, workers, logical)
        except BaseException as error:
            self.close()
            if type(error) is EngineLost:
                raise EngineNotStarted("engine: its process ended while it started") from None
            raise

    def slots(self, requests: list[Request]) -> int:
        """Return how many of these runs fit at once."""
        return self._ask("slots", requests)

    def map(
        self,
        jobs: Sequence[Keyed],
        requests: dict[str, Request],
        work: WorkerFunction | None = None,
    ) -> Iterator[Finished | None]:
        """Do all jobs, see `Engine.map`."""
        self._ask("map", jobs, requests, work)
        while (answer := self._ask("next")) is not None:
            finished, board = answer
            if board is not None:
                self._board = board
            yield finished

    def progress(self) -> dict[str, RunProgress]:
        """Return the progress of the runs that have reported, by key."""
        return self._board

    def _ask(self, name: str, *arguments: object) -> Any:
        """Call a method of Served in the other process and return its answer, or raise its error."""
        try:
            self.connection.send((name, arguments))
            answer = self.connection.recv()
        except (EOFError, OSError):
            raise EngineLost("one of its processes was killed") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the engine and all of its processes. Ctrl-C and SIGTERM do not interrupt this."""
        is_main = threading.current_thread() is threading.main_thread()
        before = {n: signal.signal(n, signal.SIG_IGN) for n in STOPS if is_main}
        try:
            self.connection.close()
            try:
                self.process.wait(CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            end_session(self.process.pid)
            self.process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)


class Served:
    """An Engine and the state of its work, with a method for each call of an EngineApart."""

    def __init__(self) -> None:
        self.started: Engine | None = None
        self.core: set[int] = set()
        self.results: Iterator[Finished | None] = iter(())
        self.last_board: dict[str, RunProgress] = {}

    @property
    def engine(self) -> Engine:
        if self.started is None:
            raise EngineLost("it was not started")
        return self.started

    def start(
        self, address: str | None, workers: int | None, logical: dict[str, int] | None
    ) -> bool:
        self.started = Engine(address, workers, logical)
        own = [found for found in members(os.getsid(0)) if found.parent == os.getpid()]
        self.core |= {found.pid for found in own if found.name in CORE}
        return self.engine.has_gpus

    def slots(self, requests: list[Request]) -> int:
        return self.engine.slots(requests)

    def map(
        self, jobs: Sequence[Keyed], requests: dict[str, Request], work: WorkerFunction | None
    ) -> None:
        self.results = self.engine.map(jobs, requests, work)

    def next(self) -> tuple[Finished | None, dict[str, RunProgress] | None] | None:
        """Return the next result of `Engine.map`, and the board if it has changed; None at the end."""
        for finished in self.results:
            board, before = self.engine.progress(), self.last_board
            self.last_board = board
            return finished, board if board is not before else None
        return None

    def close(self) -> None:
        self.core.clear()
        if self.started is not None:
            self.started.close()


def watch(parent: int, core: set[int]) -> None:
    """End this session once the driver or one of the cluster's core processes has ended."""
    while os.getppid() == parent and all(map(process, list(core))):
        time.sleep(WATCH_SECONDS)
    end_session(os.getpid())
    os._exit(1)


def main(descriptor: str, parent: str) -> None:
    """Answer the calls of an EngineApart until it closes the connection."""
    os.set_inheritable(int(descriptor), False)
    served = Served()
    threading.Thread(target=watch, args=(int(parent), served.core), daemon=True).start()
    try:
        with Connection(int(descriptor)) as connection:
            while True:
                name, arguments = connection.recv()
                try:
                    answer = getattr(served, name)(*arguments)
                except Exception as error:
                    error.add_note(traceback.format_exc())  # the driver shows it if it is a bug
                    answer = error
                connection.send(answer)
    except (EOFError, OSError, KeyboardInterrupt):
        pass
    finally:
        served.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
