"""Trouble of a GPU or of its driver, which says nothing about the run that meets it.

After a *sticky* error every later CUDA call of the process fails with the same error, so that the
process has to end. NVIDIA's documentation says of each of them that it "leaves the process in an
inconsistent state" and that "the process must be terminated and relaunched" (CUDA Runtime API,
section "Data types used by CUDA Runtime", cudaError_t).
"""

import re

from bench.errors import InputError

# Errors of a single call, explained by what the run asks for, which leave the GPU usable.
OWN = (
    "invalid argument",  # cudaErrorInvalidValue, 1
    "invalid configuration argument",  # cudaErrorInvalidConfiguration, 9
    "too many resources requested for launch",  # cudaErrorLaunchOutOfResources, 701
    "operation not permitted when stream is capturing",  # cudaErrorStreamCaptureUnsupported, 900
    "CUBLAS_STATUS_INVALID_VALUE",
    "CUBLAS_STATUS_NOT_SUPPORTED",
)
# What counts as trouble, as PyTorch words it, with the source of each.
TROUBLE = (
    # Sticky (cudaError_t): illegal memory access 700, launch timed out 702, device-side assert 710,
    # hardware stack error 714, illegal instruction 715, misaligned address 716, invalid address space
    # 717, invalid program counter 718, unspecified launch failure 719. Of the machine: initialization
    # 3, driver too old 35, devices busy or unavailable 46, no device 100, uncorrectable ECC 214 and
    # NVLink 220 errors, MPS 805 to 807, unknown 999. An error that is listed nowhere counts too: the
    # run is tried again instead of getting a wrong record. cuBLAS's errors begin in the same way.
    rf"(?:CUDA error|CUDA driver error|Triton Error \[CUDA\]): (?!{'|'.join(OWN)})",
    # cuDNN, cuSOLVER, cuSPARSE and cuBLAS: their statuses of a broken context (cublasStatus_t,
    # cudnnStatus_t). Wrong parameters and what is not supported are the run's own.
    r"CU(?:BLAS|DNN|SOLVER|SPARSE)_STATUS_(?:NOT_INITIALIZED|EXECUTION_FAILED|INTERNAL_ERROR|MAPPING_ERROR)",
    # NCCL (ncclResult_t, through torch.distributed), and its watchdog when another rank has ended.
    r"NCCL error|NCCL communicator was aborted|Watchdog caught collective operation timeout",
    # PyTorch's start of CUDA (torch.cuda._lazy_init, c10/cuda/CUDAFunctions.cpp).
    r"No CUDA GPUs are available|Found no NVIDIA driver|NVIDIA driver on your system is too old",
    r"Unexpected error from cudaGetDeviceCount|CUDA unknown error",
)
# Want of memory of a GPU: of PyTorch's allocator, and of what allocates beside it.
MEMORY = (
    r"CUDA out of memory",
    r"(?:CUDA error|CUDA driver error|Triton Error \[CUDA\]): out of memory",
    r"CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_\w*ALLOC(?:ATION)?_FAILED",
    r"Cuda failure (?:2 )?'out of memory'",
)
IS_TROUBLE, IS_MEMORY = re.compile("|".join(TROUBLE)), re.compile("|".join(MEMORY))
TRIED = re.compile(r"Tried to allocate ([\d.]+) (bytes|KiB|MiB|GiB|TiB)")
UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
# Bytes of a GPU that this process itself uses beside PyTorch's allocator: contexts and libraries.
CONTEXT = 2 * 2**30


class DeviceTrouble(InputError):
    """A GPU or its driver failed: there is no result, and the run has to be done again."""


def device_trouble(error: BaseException, share: float = 1.0) -> DeviceTrouble | None:
    """Return the trouble of the machine that an error tells of; None if the error is the run's own.

    Args:
        error: What was raised.
        share: The share of a GPU that the run had reserved.
    """
    if isinstance(error, DeviceTrouble):
        return error
    if isinstance(error, InputError):
        return None
    text = text_of(error)
    if IS_MEMORY.search(text):
        if not is_taken_by_others(text, share):
            return None
        what = f"out of memory on a GPU that others use too ({line_of(text, IS_MEMORY)})"
    elif IS_TROUBLE.search(text):
        what = line_of(text, IS_TROUBLE)
    else:
        return None
    return DeviceTrouble(f"device: {what}: this is trouble of the machine, and no result")


def is_out_of_gpu_memory(error: BaseException) -> bool:
    return IS_MEMORY.search(text_of(error)) is not None


def text_of(error: BaseException) -> str:
    """Return the messages of an error and of those that led to it: what cleans up may fail too."""
    texts: list[str] = []
    one = error
    while len(texts) < 10:
        texts.append(str(one))
        before = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        if before is None:
            break
        one = before
    return "\n".join(texts)


def line_of(text: str, pattern: re.Pattern[str]) -> str:
    """Return the line of a text from where a pattern matches, without the advice that follows it."""
    found = pattern.search(text)
    assert found is not None  # the caller has searched
    return text[found.start() :].splitlines()[0].partition(". ")[0][:200]


def is_taken_by_others(text: str, share: float) -> bool:
    """Tell whether the memory that a run lacks is held by other processes on its GPU.

    What does not fit an empty GPU either is the run's own failure.

    Args:
        text: The message of the error.
        share: The share of the GPU that the run had reserved.
    """
    import torch

    try:
        free, total = torch.cuda.mem_get_info()
        own = torch.cuda.memory_reserved()
    except (AssertionError, RuntimeError):
        return True  # not even that can be asked any more
    tried = TRIED.search(text)
    more = float(tried[1]) * UNITS[tried[2]] if tried else 0.0
    if own + more > total:
        return False
    return share < 1 or total - free - own > CONTEXT
