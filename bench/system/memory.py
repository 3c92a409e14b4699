"""How the C library manages memory, which affects the speed of allocating tensors of megabytes."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# A block that is larger than LARGEST_REUSED bytes is mapped anew each time, at twice the time. If such a
# block were kept, the few bytes that a training keeps of each step would lie in its place; the next one
# would not fit there, and a process could grow by a block at every step.
LARGEST_REUSED = 2**26
KEPT = 2**30


def keep_freed_memory() -> bool:
    """Let the process keep up to 1 GiB of freed memory, in blocks of up to 64 MiB.

    By default glibc returns large blocks to the kernel and maps each anew, and the kernel fills it
    with zeros page by page: for the batches of this benchmark that takes a third of the time of the
    arithmetic. Without glibc this function does nothing.

    Returns:
        Whether a setting was changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_REUSED) and mallopt(M_TRIM_THRESHOLD, KEPT))
