"""How the C library manages memory, which affects the speed of allocating tensors of megabytes."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 2**30


def keep_freed_memory() -> bool:
    """Let the process keep freed memory, up to 1 GiB, instead of returning it to the kernel.

    By default glibc maps each large block anew, and the kernel fills it with zeros page by page:
    for the batches of this benchmark that takes a third of the time of the arithmetic. Without
    glibc this function does nothing.

    Returns:
        Whether a setting was changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, KEPT) and mallopt(M_TRIM_THRESHOLD, KEPT))
