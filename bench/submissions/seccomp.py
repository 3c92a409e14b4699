"""A filter of system calls for a process that runs other people's code (Linux on x86-64)."""

import ctypes
import os
import struct
import sys

NO_NEW_PRIVILEGES, SET_FILTER, ALL_THREADS, SECCOMP = 38, 1, 1, 317
X86_64, X32 = 0xC000003E, 0x40000000
ALLOW, REFUSE, UNKNOWN = 0x7FFF0000, 0x00050001, 0x00050026  # EPERM, ENOSYS
CLONE, CLONE3, CLONE_THREAD = 56, 435, 0x00010000
# Numbers of calls that are refused. What opens, renames or removes files is Landlock's.
REFUSED = {
    "network": (41, 42, 43, 49, 50),  # socket, connect, accept, bind, listen
    "processes": (57, 58, 59, 322),  # fork, vfork, execve, execveat
    "signals and other processes": (62, 101, 129, 200, 297, 310, 311, 312, 424, 434, 438),
    "modes, owners, times, attributes": (
        90, 91, 92, 93, 94, 132, 188, 189, 190, 197, 198, 199, 235, 260, 261, 268, 280, 452, 463, 466,
    ),
    "mounts and namespaces": (155, 161, 165, 166, 272, 304, 308, 428, 429, 430, 442),
    # io_uring would do all this without the calls above.
    "other ways into the kernel": (
        175, 246, 248, 249, 250, 298, 313, 320, 321, 323, 425, 426, 427,
    ),
}  # fmt: skip


def instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def program() -> bytes:
    """Return the filter: a new process, a socket and so on fail; a new thread does not."""
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    lines = [
        instruction(load, 4),
        instruction(equal, X86_64, 1, 0),
        instruction(give, REFUSE),
        instruction(load, 0),
        instruction(at_least, X32, 0, 1),
        instruction(give, REFUSE),
    ]
    for number in sorted(number for numbers in REFUSED.values() for number in numbers):
        lines += [instruction(equal, number, 0, 1), instruction(give, REFUSE)]
    # The C library takes clone where there is no clone3, whose flags a filter cannot read.
    lines += [instruction(equal, CLONE3, 0, 1), instruction(give, UNKNOWN)]
    lines += [
        instruction(equal, CLONE, 0, 3),
        instruction(load, 16),
        instruction(any_bit, CLONE_THREAD, 1, 0),
        instruction(give, REFUSE),
        instruction(give, ALLOW),
    ]
    return b"".join(lines)


def refuse_calls() -> bool:
    """Put the filter on this process for ever; return whether the kernel took it."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    code = program()
    lines = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(lines))
    if library.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    return bool(library.syscall(SECCOMP, SET_FILTER, ALL_THREADS, header) == 0)
