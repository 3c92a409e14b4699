"""A process closes itself before it runs other people's code, and finds out what that prevents.

It must have one thread and nothing imported that starts others: bench imports PyTorch afterwards.
"""

import ctypes
import errno
import os
import resource
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.submissions.landlock import restrict
from bench.submissions.seccomp import refuse_calls
from bench.system.machine import ROOT, available_memory

NEW_USER, NEW_NETWORK, NEW_IPC = 0x10000000, 0x40000000, 0x08000000
# Largest file that is written, and share of the memory that is available at the start.
LARGEST_FILE, SHARE_OF_MEMORY = 2**31, 0.75


@dataclass(frozen=True)
class Guarantees:
    """What code in a process cannot do: each was tried, and failed.

    Attributes:
        network: It reaches no network.
        writes: It writes no file but in a temporary folder of its own.
        reads: It reads no file of the user's.
        processes: It starts no process, which could outlive it.
        memory: It gets no more than a share of the memory that was free.
    """

    network: bool
    writes: bool
    reads: bool
    processes: bool
    memory: bool

    @property
    def is_enough(self) -> bool:
        return self.network and self.writes

    def in_words(self) -> str:
        """Return a line that says what is prevented and what is not."""
        words = {
            "network": "network",
            "writes": "writing outside a temporary folder",
            "reads": "reading your files",
            "processes": "starting processes",
            "memory": f"more than {SHARE_OF_MEMORY:.0%} of the free memory",
        }
        prevented = [words[name] for name, value in asdict(self).items() if value]
        left = [words[name] for name, value in asdict(self).items() if not value]
        line = f"prevented and tried: {', '.join(prevented) or 'nothing'}"
        if left:
            line += f"; NOT prevented: {', '.join(left)}"
        return line


def seal(readable: list[str], writable: list[str], probe: str) -> Guarantees:
    """Take from this process what a model does not need, and return what it cannot do any more.

    Args:
        readable: Files and folders that it may read.
        writable: Those that it may write too.
        probe: A folder in which the user can write, and which is in neither.
    """
    limit_resources()
    if sys.platform == "linux":
        # A network of its own has no way out. Kernels may refuse it to users.
        ctypes.CDLL(None).unshare(NEW_USER | NEW_NETWORK | NEW_IPC)
    restrict(readable, writable)
    refuse_calls()
    return tried(probe)


def limit_resources() -> None:
    limits = {
        resource.RLIMIT_AS: int(SHARE_OF_MEMORY * available_memory(ROOT)),
        resource.RLIMIT_FSIZE: LARGEST_FILE,
        resource.RLIMIT_CORE: 0,
    }
    try:
        # Where memory runs out all the same, the kernel ends this process, and no other one.
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        pass
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (most, most))
        except (OSError, ValueError):
            continue  # said by what is tried


def tried(probe: str) -> Guarantees:
    """Return what this process cannot do, by trying each."""
    limited, _ = resource.getrlimit(resource.RLIMIT_AS)
    return Guarantees(
        network=not can_connect(),
        writes=not can_write(Path(probe) / "written"),
        reads=not can_read(Path(probe) / "secret"),
        processes=not can_fork(),
        memory=limited != resource.RLIM_INFINITY,
    )


def can_connect() -> bool:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            # Nothing is sent: a datagram's address is looked up in the table of routes.
            channel.connect(("127.0.0.1", 9))
    except OSError as error:
        return error.errno not in (errno.EPERM, errno.EACCES, errno.ENETUNREACH)
    return True


def can_write(path: Path) -> bool:
    try:
        path.write_text("")
    except OSError:
        return False
    return True


def can_read(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def can_fork() -> bool:
    try:
        child = os.fork()
    except OSError:
        return False
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return True
