"""A clock that goes on with work done instead of time, so that what is measured with it is certain."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class WorkClock(TorchDispatchMode):
    """Counts a second for every million operations of matrix products, and what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        count = flop_registry.get(function.overloadpacket)
        if count is not None:
            self.seconds += 1e-6 * count(*arguments, **(options or {}), out_val=result)
        return result

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@contextmanager
def work_clock() -> Iterator[WorkClock]:
    """Let ``time.perf_counter`` tell the work done."""
    clock = WorkClock()
    with pytest.MonkeyPatch.context() as patch, clock:
        patch.setattr(time, "perf_counter", lambda: clock.seconds)
        yield clock
