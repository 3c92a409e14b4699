"""Which devices a run computes on."""

import os

import torch


def visible_gpus() -> list[str]:
    """Return the names of the GPUs of this machine that this process may use, in PyTorch's order."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(index) for index in range(torch.cuda.device_count())]
    return [name.strip() for name in given.split(",") if name.strip()]


def devices_for(count: int, gpus: list[str] | None = None) -> list[torch.device]:
    """Return the devices that a run trains on: GPUs where it has any, else the CPU ``count`` times.

    Args:
        count: How many train together (``trainer.devices``).
        gpus: Names of the GPUs that were set aside for the run; None takes the first that there
            are. Logical GPUs, which PyTorch does not see, compute on the CPU.
    """
    here = visible_gpus() if torch.cuda.is_available() else []
    own = here[:count] if gpus is None else [name for name in gpus if name in here]
    if len(own) < count:
        return [torch.device("cpu")] * count
    return [torch.device("cuda", here.index(name)) for name in own[:count]]
