"""The devices that a run computes on."""

import os

import torch


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use, in PyTorch's order."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return [str(index) for index in range(torch.cuda.device_count())]
    return [name.strip() for name in listed.split(",") if name.strip()]


def devices_for(count: int, gpus: list[str] | None = None) -> list[torch.device]:
    """Return the devices that a run trains on: ``count`` GPUs, or else the CPU ``count`` times.

    Args:
        count: Number of devices that train together (``trainer.devices``).
        gpus: Names of the GPUs that are reserved for the run; None takes the first visible ones.
            A logical GPU, which PyTorch does not see, is computed on the CPU.
    """
    visible = visible_gpus() if torch.cuda.is_available() else []
    own = visible[:count] if gpus is None else [name for name in gpus if name in visible]
    if len(own) < count:
        return [torch.device("cpu")] * count
    return [torch.device("cuda", visible.index(name)) for name in own[:count]]


# The share of its GPU that this process was given; several runs may share one.
_share_of_gpu = 1.0


def set_gpu_share(share: float) -> None:
    """Set the share of its GPU that this process was given, at most 1."""
    global _share_of_gpu
    _share_of_gpu = min(share, 1.0)


def usable_gpu_memory(device: torch.device) -> int:
    """Return how many bytes of a GPU this process may still take, within its share of the GPU."""
    free, total = torch.cuda.mem_get_info(device)
    allocated, reserved = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
    return within_share(_share_of_gpu, free, total, allocated, reserved)


def within_share(share: float, free: int, total: int, allocated: int, reserved: int) -> int:
    """Return the usable bytes: what is free, or reserved by this process and not in use, in its share."""
    return max(0, min(free + reserved - allocated, int(share * total) - allocated))
