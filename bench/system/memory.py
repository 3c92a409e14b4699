"""How the C library keeps memory, which decides how fast tensors of a few megabytes are made."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 2**30


def keep_freed_memory() -> bool:
    """Let the process keep what it frees, up to 1 GiB, instead of handing every block back.

    glibc maps large blocks anew each time, and the kernel fills them with zeros page by page: for
    the batches of this benchmark that takes as long as a third of the arithmetic. Elsewhere than
    under glibc nothing is done.

    Returns:
        Whether anything was changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, KEPT) and mallopt(M_TRIM_THRESHOLD, KEPT))
