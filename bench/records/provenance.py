"""The origin of a number: commit, code, versions, processor."""

import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.records.code import running_code_hash
from bench.records.types import DataRecord, Environment
from bench.system.checkout import read_checkout
from bench.system.machine import GIB, nvidia_driver
from bench.version import __version__

if TYPE_CHECKING:
    from bench.data.tasks import TaskData

PACKAGES = (
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "wandb",
    "lightning-bolts",
    "pandas",
    "numpy",
    "ray",
)


def package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def code_version() -> Environment:
    """Return the checkout's commit, whether the code differs from it, and the hash of what decides numbers.

    Without a commit, ``commit_unknown`` says why there is none. Read once in a process, which runs
    what it imported, however the files change afterwards.
    """
    checkout = read_checkout()
    known: Environment = {
        "version": __version__,
        "code_sha256": running_code_hash("numbers"),
        "commit": checkout.commit,
        "dirty": checkout.dirty,
    }
    if checkout.unknown:
        known["commit_unknown"] = checkout.unknown
    return known


def commit_label() -> str | None:
    """Return the commit for tables without a column ``dirty``: marked where the code differs from it."""
    known = code_version()
    return f"{known['commit']}-dirty" if known["dirty"] else known["commit"]


def environment(device: str) -> Environment:
    """Return what else may decide a number: versions, processor, threads. No paths, no names."""
    import torch

    return {
        **code_version(),
        "python": platform.python_version(),
        "platform": platform.system(),
        "machine": platform.machine(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "blas": "MKL" if torch.backends.mkl.is_available() else "other",
        "torch_build": str(torch.__version__),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        **environment_of_gpu(device),
    }


def environment_of_gpu(device: str) -> Environment:
    """Return what may decide a number on the current GPU; on the CPU, of which it decides none, None."""
    import torch

    if device != "cuda":
        return {
            "gpu": None,
            "gpu_memory_gib": None,
            "cuda": None,
            "cuda_driver": None,
            "cudnn": None,
            "tf32_matmul": None,
            "tf32_cudnn": None,
        }
    return {
        "gpu": torch.cuda.get_device_name(),
        "gpu_memory_gib": round(torch.cuda.get_device_properties().total_memory / GIB, 1),
        "cuda": torch.version.cuda,
        "cuda_driver": nvidia_driver(),
        "cudnn": torch.backends.cudnn.version(),
        "tf32_matmul": allows_tf32(torch.backends.cuda.matmul),
        "tf32_cudnn": allows_tf32(torch.backends.cudnn),
    }


def allows_tf32(flags: Any) -> bool | None:
    """Tell whether float32 is shortened to TF32; None where PyTorch cannot tell.

    It refuses to where its older and its newer settings of precision contradict each other.
    """
    try:
        return bool(flags.allow_tf32)
    except RuntimeError:
        return None


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def describe_data(data: "TaskData") -> DataRecord:
    """Return which data a run was made with: hashes, sizes and shape."""
    return {
        "payload_sha256": data.payload_sha256,
        "split_sha256": data.split_sha256,
        "images_sha256": data.images_sha256,
        "dimensions": data.dimensions,
        "levels": data.task.levels,
        "sizes": {"train": len(data.train), "test": len(data.test)},
    }
