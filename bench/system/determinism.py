"""What makes numbers a function of code, configuration and data alone, in one place.

The settings are of the whole process. On a CPU they change nothing but what PyTorch refuses.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from bench.system.cublas import set_workspace

# A property that PyTorch makes when it is imported, which a type checker cannot see.
MEMORY: Any = torch.utils.deterministic


def deterministic() -> None:
    """Let the same work on the same device give the same bytes, in full float32.

    An operation that has no deterministic implementation on a GPU raises RuntimeError from now on.
    Call this before the process computes on a GPU, because cuBLAS reads its variable only once; a
    value that the user has set stays.
    """
    set_workspace()
    torch.use_deterministic_algorithms(True)
    # PyTorch would also fill new memory with NaN, so that reading it before writing shows. That
    # costs a kernel for every new tensor, and nothing here reads what it has not written.
    MEMORY.fill_uninitialized_memory = False
    # TORCH_ALLOW_TF32_CUBLAS_OVERRIDE would shorten every product of matrices, and cuDNN shortens
    # convolutions unless told otherwise: to 10 bits of precision on a GPU.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


@contextmanager
def deterministically() -> Iterator[None]:
    """Do as ``deterministic`` until the context ends, for a process that is somebody else's."""
    is_on = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    fills = MEMORY.fill_uninitialized_memory
    precision = torch.get_float32_matmul_precision()
    shortens = torch.backends.cudnn.allow_tf32
    deterministic()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(is_on, warn_only=warns)
        MEMORY.fill_uninitialized_memory = fills
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = shortens
