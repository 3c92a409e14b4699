"""Functions that take turns: threads of which only one runs at a time, until it passes the turn on."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Stopped(BaseException):
    """The caller of `Turns.run` was interrupted, and the functions are to end."""


class Turns(Generic[Result]):
    """Runs functions in threads that take turns, so that nothing they share needs a lock.

    Lightning's training loop cannot be left in its middle and resumed. In a thread of its own it
    can wait, and several loops can meet at the same step.

    Args:
        functions: What to run. Each may call `pass_on`, which returns when it is its turn again.
    """

    def __init__(self, functions: Sequence[Callable[[], Result]]):
        self.functions = functions
        self.turn = [threading.Semaphore(0) for _ in functions]
        self.threads: list[threading.Thread] = []
        self.running = list(range(len(functions)))
        self.results: dict[int, Result] = {}
        self.errors: dict[int, BaseException] = {}
        self.ended = threading.Event()
        self.stopped = False

    def run(self) -> list[Result]:
        """Run all functions to their ends, and return their results.

        Raises:
            BaseException: The first error of a function, once all have ended.
        """
        self.threads = [
            threading.Thread(target=self._play, args=(own,), daemon=True)
            for own in range(len(self.functions))
        ]
        for thread in self.threads:
            thread.start()
        try:
            self.turn[0].release()
            self.ended.wait()
        except BaseException:
            self.stopped = True
            self.ended.wait()
            raise
        for own in sorted(self.errors):
            raise self.errors[own]
        return [self.results[own] for own in range(len(self.functions))]

    def pass_on(self) -> None:
        """Let the next function run, and return when it is this one's turn again.

        Raises:
            Stopped: The functions are to end.
        """
        own = self.threads.index(threading.current_thread())
        following = self._after(own)
        if following != own:
            self.turn[following].release()
            self.turn[own].acquire()
        self.check()

    def check(self) -> None:
        """Raise Stopped if the functions are to end."""
        if self.stopped:
            raise Stopped

    def _after(self, own: int) -> int:
        """Return the next function that has not ended, in a circle."""
        later = [other for other in self.running if other > own]
        return (later or self.running)[0]

    def _play(self, own: int) -> None:
        self.turn[own].acquire()
        try:
            self.check()
            self.results[own] = self.functions[own]()
        except BaseException as error:
            self.errors[own] = error
        following = self._after(own)
        self.running.remove(own)
        if self.running:
            self.turn[following].release()
        else:
            self.ended.set()
