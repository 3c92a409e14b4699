"""Resources of runs: what a sweep asks for, what a run gets, and whether a machine has it."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from bench.errors import InputError
from bench.records.types import Config


@dataclass(frozen=True)
class Resources:
    """Resources that a sweep asks for each of its runs.

    Args:
        cpus: CPU cores of a run; None is one for each thread on each device.
        gpus: GPUs of a run; a fraction lets runs share one. None is one for each device if the
            machine has GPUs, else 0.
        memory_gib: Memory reserved for a run, in GiB; None reserves none.
        stack: Whether runs that differ in seed, learning rate, β or their length alone train as one
            network, see `bench.sweep.stacks`; the resources are then those of all of them. None stacks
            on GPUs.
    """

    cpus: float | None = None
    gpus: float | None = None
    memory_gib: float | None = None
    stack: bool | None = None


@dataclass(frozen=True)
class Request:
    """Resources of one run, with every default resolved."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_gib: float = 0.0

    def fits(self, cpus: float, gpus: float, memory_gib: float) -> bool:
        return self.cpus <= cpus and self.gpus <= gpus and self.memory_gib <= memory_gib

    def __str__(self) -> str:
        memory = f" and {self.memory_gib:g} GiB" if self.memory_gib else ""
        return f"{self.cpus:g} cores and {self.gpus:g} GPUs{memory}"


def request_of(resources: Resources, config: Config, has_gpus: bool) -> Request:
    """Return the resources that a run of this configuration gets.

    Raises:
        InputError: Several devices would share a GPU.
    """
    devices, threads = config["trainer"]["devices"], config["trainer"]["threads"]
    gpus = (devices if has_gpus else 0) if resources.gpus is None else resources.gpus
    if gpus and devices > 1 and gpus != devices:
        raise InputError(
            f"resources.gpus: {gpus:g} for a run with trainer.devices {devices}; "
            f"it needs {devices}, or 0 to train on the CPU"
        )
    cpus = devices * threads if resources.cpus is None else resources.cpus
    return Request(float(cpus), float(gpus), float(resources.memory_gib or 0))


def checked_resources(given: Any, where: str) -> Resources:
    """Return ``given``, a mapping or None, as Resources. Raises InputError if it is invalid."""
    known = ", ".join(field.name for field in fields(Resources))
    try:
        resources = Resources(**(given or {}))
    except TypeError:
        raise InputError(f"{where}: resources are {known}, not {given!r}") from None
    for name, least in (("cpus", 0.01), ("gpus", 0), ("memory_gib", 0)):
        amount = getattr(resources, name)
        if amount is None:
            continue
        is_number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
        if not (is_number and least <= amount < 1e6):
            raise InputError(
                f"{where}: resources.{name}: {amount!r} is not a number of {least} or more"
            )
    if not (resources.stack is None or isinstance(resources.stack, bool)):
        raise InputError(f"{where}: resources.stack: {resources.stack!r} is neither true nor false")
    gpus = resources.gpus
    if gpus is not None and gpus > 1 and gpus != int(gpus):
        raise InputError(f"{where}: resources.gpus: {gpus:g} is neither whole nor below 1")
    return resources


def refuse_what_never_fits(
    requests: Iterable[Request], nodes: list[tuple[float, float, float]]
) -> None:
    """Raise InputError if a run asks for more than every node has.

    Args:
        requests: The resources of the runs.
        nodes: (cores, GPUs, GiB of memory) of each node.
    """
    for request in dict.fromkeys(requests):
        if not any(request.fits(*node) for node in nodes):
            most = "; ".join(
                f"{cpus:g} cores, {gpus:g} GPUs, {memory:.1f} GiB"
                for cpus, gpus, memory in dict.fromkeys(nodes)
            )
            raise InputError(
                f"resources: a run asks for {request}, and no machine has them (available: {most})"
            )
