"""Landlock: a process gives up the rights to files that it does not need (Linux from 5.13)."""

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable

CREATE, ADD, RESTRICT = 444, 445, 446
NO_NEW_PRIVILEGES, PATH_BENEATH = 38, 1
WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
# Number of rights to files that each version of the interface knows; the last one has them all.
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
TCP, SIGNALS_AND_SOCKETS = 0b11, 0b11


def restrict(readable: Iterable[str], writable: Iterable[str]) -> bool:
    """Leave this process, and what it starts, these files and folders alone.

    Args:
        readable: Files and folders to read.
        writable: Files and folders to read and write.

    Returns:
        Whether the kernel took it.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    version = int(library.syscall(CREATE, None, 0, 1))
    if version < 1:
        return False
    rights = (1 << RIGHTS[min(version, 5)]) - 1
    network = TCP if version >= 4 else 0
    attributes = struct.pack("=QQQ", rights, network, SIGNALS_AND_SOCKETS if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = int(library.syscall(CREATE, attributes, size, 0))
    if rules < 0:
        return False
    for paths, given in ((readable, READ_FILE | READ_DIR), (writable, rights)):
        for path in paths:
            allow(library, rules, path, given & rights)
    taken = library.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
    taken = taken and library.syscall(RESTRICT, rules, 0) == 0
    os.close(rules)
    return bool(taken)


def allow(library: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    """Allow rights beneath a path, if it is there."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not stat.S_ISDIR(os.fstat(place).st_mode):
        rights &= READ_FILE | WRITE_FILE | TRUNCATE
    library.syscall(ADD, rules, PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    os.close(place)
