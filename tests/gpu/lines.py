"""What the parts of the GPU check share: the device, the clock, and the file of results."""

import json
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
NAME = "gpu.jsonl"
# Characters of a traceback that a line keeps: its end says what happened.
LONGEST_ERROR = 900


class OutOfTime(BaseException):
    """A part has used up its time. It is no Exception, so that no item of the part catches it."""


@dataclass(frozen=True)
class Check:
    """One call of the check.

    Attributes:
        out: Folder of the results.
        seconds: Time of the whole call.
        dry: Small sizes on the CPU, to test the check itself.
        started: When the call began, by the monotonic clock.
    """

    out: Path
    seconds: float
    dry: bool
    started: float

    @property
    def device(self) -> torch.device:
        return torch.device("cpu" if self.dry else "cuda")

    @property
    def card(self) -> str:
        return "CPU, dry run" if self.dry else torch.cuda.get_device_name()

    def left(self) -> float:
        """Return the seconds that are left of the whole call."""
        return self.seconds - (time.monotonic() - self.started)

    def say(self, part: str, **content: object) -> None:
        """Write a line at once: what is written survives whatever ends the process later."""
        at = round(time.monotonic() - self.started, 1)
        line = json.dumps({"part": part, "card": self.card, "at": at, **content})
        with open(self.out / NAME, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        # An error says at its end what it is.
        shown = line if len(line) < 400 else f"{line[:150]} … {line[-250:]}"
        print(shown, flush=True)

    @contextmanager
    def caught(self, part: str, **what: object) -> Iterator[None]:
        """Write an error as a line, so that the next item is measured all the same."""
        try:
            yield
        except Exception:
            self.say(part, **what, error=traceback.format_exc()[-LONGEST_ERROR:])

    def wait(self) -> None:
        """Wait until the card has done what it was asked to."""
        if not self.dry:
            torch.cuda.synchronize()

    def seconds_of(self, work: Callable[[], object], repeats: int = 3) -> float:
        """Return the median time of ``work``, after one call that is not timed."""
        times = []
        for _ in range(1 + repeats):
            self.wait()
            begun = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - begun)
        return sorted(times[1:])[repeats // 2]

    def forget_peak(self) -> None:
        if not self.dry:
            torch.cuda.reset_peak_memory_stats()

    def peak_mib(self) -> float | None:
        """Return the largest memory in use since ``forget_peak``, in MiB; None on a CPU."""
        return None if self.dry else torch.cuda.max_memory_allocated() / 2**20


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the main thread once ``seconds`` have passed."""

    def stop(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.1))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
