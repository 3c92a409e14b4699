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
