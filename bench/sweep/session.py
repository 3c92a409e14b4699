"""The processes of a session, read from Linux' /proc. On other systems none are found."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LONGEST_SECONDS = 5.0


@dataclass(frozen=True)
class Process:
    """A process that has not ended.

    Attributes:
        pid: Its id.
        name: The first 15 characters of its program's name.
        parent: Id of its parent process.
        session: Id of its session, which is the id of the session's first process.
    """

    pid: int
    name: str
    parent: int
    session: int


def process(pid: int) -> Process | None:
    """Return a process, or None if it has ended."""
    try:
        head, _, tail = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")
    except OSError:
        return None
    state, parent, _, session, *_ = tail.split()
    return (
        None if state in "ZX" else Process(pid, head.partition("(")[2], int(parent), int(session))
    )


def members(session: int) -> list[Process]:
    """Return the processes of a session."""
    ids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return [found for found in map(process, ids) if found and found.session == session]


def end_session(session: int) -> None:
    """SIGKILL all processes of a session except this one, whoever their parents are."""
    deadline = time.monotonic() + LONGEST_SECONDS  # one that is left then hangs in the kernel
    while time.monotonic() < deadline:
        others = [found.pid for found in members(session) if found.pid != os.getpid()]
        if not others:
            return
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
