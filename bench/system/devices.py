"""The devices that a run computes on."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InputError
from bench.system.machine import ROOT

if TYPE_CHECKING:
    import torch

UUIDS = ("GPU-", "MIG-")


@dataclass(frozen=True)
class Reserved:
    """The GPUs that an engine sets aside for a job.

    Attributes:
        names: Their names, as CUDA_VISIBLE_DEVICES has them; none for a job on the CPU.
        share: The share of each GPU, at most 1; other jobs use the rest.
    """

    names: tuple[str, ...] = ()
    share: float = 1.0


def named_gpus(listed: str) -> list[str]:
    """Return the GPUs that a value of CUDA_VISIBLE_DEVICES names, as CUDA and PyTorch read it.

    Entries are numbers, or UUIDs of one kind, which may be abbreviated. The first entry that is
    neither hides itself and all after it, and a GPU that is named twice hides all (CUDA C++
    Programming Guide, "CUDA Environment Variables"; ``torch.cuda._parse_visible_devices``).
    """
    entries = [entry.strip() for entry in listed.split(",")]
    kind = next((kind for kind in UUIDS if entries[0].startswith(kind)), None)
    names: list[str] = []
    seen: set[str | int] = set()
    for entry in entries:
        number = re.match(r"\+?\d+", entry)
        if not (entry.startswith(kind) if kind else number):
            break
        gpu = int(number[0]) if number else entry
        if gpu in seen:
            return []
        seen.add(gpu)
        names.append(entry)
    return names


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use, in PyTorch's order."""
    import torch

    count = torch.cuda.device_count()
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return [str(index) for index in range(count)]
    # PyTorch also knows which numbers and UUIDs this machine has.
    return named_gpus(listed)[:count]


def devices_for(count: int, reserved: Reserved | None = None) -> "list[torch.device]":
    """Return the devices that a run trains on: ``count`` GPUs, or the CPU ``count`` times.

    Args:
        count: Number of devices that train together (``trainer.devices``).
        reserved: The GPUs that are reserved for the run; None takes the first visible ones, or the
            CPU on a machine without GPUs.

    Raises:
        InputError: PyTorch does not see a reserved GPU, or there are fewer GPUs than devices.
    """
    import torch

    visible = visible_gpus()
    names = visible if reserved is None else list(reserved.names)
    for name in names:
        if name not in visible:
            seen = f"only {', '.join(visible)}" if visible else f"no GPU ({why_no_gpu()})"
            raise InputError(
                f"device: GPU {name} was reserved for the run, and PyTorch sees {seen}; repair that, "
                "or give its runs `resources: {gpus: 0}` to compute on the CPU"
            )
    if 0 < len(names) < count:
        raise InputError(
            f"trainer.devices: {count}, and the run has {len(names)} GPU"
            f"{'s' if len(names) > 1 else ''} ({', '.join(names)}); ask for as many as there are, or "
            "set CUDA_VISIBLE_DEVICES= to train in as many processes on the CPU"
        )
    if not names:
        return [torch.device("cpu")] * count
    return [torch.device("cuda", visible.index(name)) for name in names[:count]]


def device_kind(device: "torch.device") -> str:
    """Return the kind of a device: cpu, or the GPU's name."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def unusable_gpus(root: Path = ROOT) -> str | None:
    """Return a line for the user if PyTorch cannot use the NVIDIA GPUs of this machine, else None.

    Args:
        root: The folder that contains dev.
    """
    import torch

    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = len(list((root / "dev").glob("nvidia[0-9]*")))
    if not there or torch.cuda.device_count() or (listed is not None and not named_gpus(listed)):
        return None
    return (
        f"note: computed on the CPU, because PyTorch cannot use the {there} NVIDIA GPU"
        f"{'s' if there > 1 else ''} of this machine: {why_no_gpu()}"
    )


def why_no_gpu() -> str:
    """Return in words why PyTorch sees no GPU."""
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return f"PyTorch {torch.__version__} is built without CUDA"
    try:
        torch.cuda.init()
    except (AssertionError, RuntimeError) as error:
        return " ".join(str(error).split())[:200]
    return "CUDA finds none"


# The share of its GPU that this process was given; several runs may share one.
_share_of_gpu = 1.0


def set_gpu_share(share: float) -> None:
    """Set the share of its GPU that this process was given, at most 1."""
    global _share_of_gpu
    _share_of_gpu = min(share, 1.0)


def usable_gpu_memory(device: "torch.device") -> int:
    """Return how many bytes of a GPU this process may still take, within its share of the GPU."""
    import torch

    free, total = torch.cuda.mem_get_info(device)
    allocated, reserved = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    return within_share(_share_of_gpu, free, total, allocated, reserved)


def within_share(share: float, free: int, total: int, allocated: int, reserved: int) -> int:
    """Return the usable bytes: what is free, or reserved by this process and not in use, in its share."""
    return max(0, min(free + reserved - allocated, int(share * total) - allocated))
