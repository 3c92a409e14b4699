"""The engine in a process of its own: whatever ends it, Ray's own aborts included, ends no driver."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

from bench.sweep.engine import Engine, EngineLost, EngineNotStarted, Finished
from bench.sweep.resources import Request
from bench.sweep.session import end_session, members, process

# Without one of these there is no cluster; Ray's client aborts a minute after the first has died.
CORE = ("gcs_server", "raylet")
WATCH_SECONDS = 0.25
CLOSE_SECONDS = 10.0
STOPS = (signal.SIGINT, signal.SIGTERM)


class EngineApart:
    """An Engine in another process, in a session with all that it starts, which ends with this one.

    Args:
        address: Address of a running cluster; None starts one here, bound to loopback.
        workers: Largest number of runs at once; None is as many as fit.
        logical: Numbers of cores and GPUs that an embedded cluster pretends to have.

    Raises:
        InputError: There is no cluster at the address.
        EngineNotStarted: Of our own there is none either.
    """

    def __init__(
        self, address: str | None = None, workers: int | None = None, logical: dict | None = None
    ):
        self.connection, theirs = multiprocessing.Pipe()
        words = [str(theirs.fileno()), str(os.getpid())]
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.sweep.apart", *words],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # Ray's core writes to both, into the live table
                stderr=subprocess.DEVNULL,
            )
        self._board: dict[str, tuple[str, float, str]] = {}
        try:
            self.has_gpus = self._ask("start", address, workers, logical)
        except BaseException as error:
            self.close()
            if type(error) is EngineLost:
                raise EngineNotStarted("engine: its process ended while it started") from None
            raise

    def slots(self, requests: list[Request]) -> int:
        """Return how many of these runs fit at once."""
        return self._ask("slots", requests)

    def map(
        self, jobs: list, requests: dict[str, Request], work: Callable | None = None
    ) -> Iterator[Finished | None]:
        """Do all jobs, yielding each as it ends, and None whenever nothing did: see `Engine.map`."""
        self._ask("map", jobs, requests, work)
        while (answer := self._ask("next")) is not None:
            finished, board = answer
            if board is not None:
                self._board = board
            yield finished

    def progress(self) -> dict[str, tuple[str, float, str]]:
        """Return {key: (phase, share done, text)} of the runs that have reported."""
        return self._board

    def _ask(self, name: str, *arguments):
        try:
            self.connection.send((name, arguments))
            answer = self.connection.recv()
        except (EOFError, OSError):
            raise EngineLost("a process of it was killed") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the engine and every process of it, whoever presses Ctrl-C meanwhile."""
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
    """An Engine, and what it is in the middle of: a method for each question of an EngineApart."""

    def __init__(self):
        self.engine: Engine | None = None
        self.core: set[int] = set()
        self.results: Iterator[Finished | None] = iter(())
        self.told: dict = {}

    def start(self, address: str | None, workers: int | None, logical: dict | None) -> bool:
        self.engine = Engine(address, workers, logical)
        own = [found for found in members(os.getsid(0)) if found.parent == os.getpid()]
        self.core |= {found.pid for found in own if found.name in CORE}
        return self.engine.has_gpus

    def slots(self, requests: list[Request]) -> int:
        return self.engine.slots(requests)

    def map(self, jobs: list, requests: dict[str, Request], work: Callable | None) -> None:
        self.results = self.engine.map(jobs, requests, work)

    def next(self) -> tuple[Finished | None, dict | None] | None:
        """Return what ended, with the board if that has changed; None at the end."""
        for finished in self.results:
            board, before = self.engine.progress(), self.told
            self.told = board
            return finished, board if board is not before else None
        return None

    def close(self) -> None:
        self.core.clear()
        if self.engine is not None:
            self.engine.close()


def watch(parent: int, core: set[int]) -> None:
    """End this session once the driver is gone, or a process that the engine cannot do without."""
    while os.getppid() == parent and all(map(process, list(core))):
        time.sleep(WATCH_SECONDS)
    end_session(os.getpid())
    os._exit(1)


def main(descriptor: str, parent: str) -> None:
    """Answer the questions of an EngineApart until it has no more."""
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
                    error.add_note(traceback.format_exc())  # seen where it is a bug
                    answer = error
                connection.send(answer)
    except (EOFError, OSError, KeyboardInterrupt):
        pass
    finally:
        served.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
