"""Energy of processors, from the machine's own counters: RAPL's of CPUs and NVML's of GPUs.

A counter is of a whole processor and counts whatever runs there. Sources: Linux' power capping
framework (Documentation/power/powercap, ``energy_uj`` and ``max_energy_range_uj``) and NVML's
``nvmlDeviceGetTotalEnergyConsumption``.
"""

import ctypes
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from bench.system.machine import ROOT, words_of

if TYPE_CHECKING:
    import torch

# No single processor takes more: within range / MOST_WATTS a counter wraps at most once.
MOST_WATTS = 1000.0
LONGEST_INTERVAL = 60.0
MICRO, MILLI = 1e-6, 1e-3


@dataclass(frozen=True)
class Counter:
    """A counter of energy.

    Attributes:
        read: Returns the energy since an unknown time in joules; None if it cannot be read.
        range: The energy in joules after which it starts at 0 again; infinite if it never does.
    """

    read: Callable[[], float | None]
    range: float = inf


class Meter:
    """Adds up the energy that counters count between two calls of ``take``.

    Args:
        counters: The counters of one kind of processor.
        clock: Returns the time in seconds.
    """

    def __init__(
        self, counters: Sequence[Counter], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.counters, self.clock = counters, clock
        self.last, self.taken = [counter.read() for counter in counters], clock()
        # None: not known, and not known any more. Without a counter nothing ever is.
        self.joules: float | None = 0.0 if counters and None not in self.last else None

    @property
    def interval(self) -> float:
        """The longest time between two calls of ``take``, in seconds, with room for a late call."""
        return min([LONGEST_INTERVAL, *(c.range / MOST_WATTS / 4 for c in self.counters)])

    def take(self) -> None:
        """Add what was counted since the last call; unknown if a counter may have wrapped twice."""
        now = self.clock()
        for position, counter in enumerate(self.counters):
            value, before = counter.read(), self.last[position]
            is_late = now - self.taken > counter.range / MOST_WATTS
            if self.joules is None or value is None or before is None or is_late:
                self.joules = None
                break
            spent = value - before if value >= before else value - before + counter.range
            # A counter without a range went back: it was set to 0, say by a reset of its device.
            self.joules = self.joules + spent if spent < inf else None
            self.last[position] = value
        self.taken = now


@contextmanager
def metered(counters: Mapping[str, Sequence[Counter]]) -> Iterator[dict[str, float]]:
    """Measure what is used inside the block, which gets a dictionary that is filled when it ends.

    Args:
        counters: {name: counters of one kind of processor}.

    Yields:
        {name: energy in joules}; a name is missing where the energy is not known.
    """
    found: dict[str, float] = {}
    meters = {name: meter for name, own in counters.items() if (meter := Meter(own)).joules == 0}
    if not meters:
        yield found
        return
    ended, interval = Event(), min(meter.interval for meter in meters.values())

    def follow() -> None:
        while not ended.wait(interval):
            for meter in meters.values():
                meter.take()

    thread = Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
        for name, meter in meters.items():
            meter.take()
            if meter.joules is not None:
                found[name] = meter.joules


def cpu_counters(root: Path = ROOT) -> list[Counter]:
    """Return the counters of this machine's CPU packages; none if one cannot be read.

    A package contains its cores, caches and integrated graphics; most machines' memory is not in it.
    Linux lets only the administrator read these counters unless somebody permits it.

    Args:
        root: The folder that contains sys.
    """
    counters = []
    # Zones of one colon are whole processors, of two their parts. AMD's have the same name.
    for zone in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        name = " ".join(words_of(zone / "name"))
        if zone.name.count(":") == 1 and name.startswith("package"):
            span = micro_joules(zone / "max_energy_range_uj")
            counter = Counter(partial(micro_joules, zone / "energy_uj"), span or inf)
            if not span or counter.read() is None:
                return []
            counters.append(counter)
    return counters


def micro_joules(path: Path) -> float | None:
    """Return a file's number of microjoules in joules; None if it cannot be read."""
    words = words_of(path)
    return int(words[0]) * MICRO if len(words) == 1 and words[0].isdecimal() else None


def gpu_counters(uuids: Sequence[str], nvml: Any = None) -> list[Counter]:
    """Return the counters of NVIDIA GPUs; none if one cannot be read.

    Args:
        uuids: The GPUs' UUIDs, such as GPU-1b2c….
        nvml: NVML as ``ctypes`` loads it; None loads the driver's.
    """
    try:
        nvml = nvml or ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    if nvml.nvmlInit_v2():
        return []
    counters = [gpu_counter(uuid, nvml) for uuid in uuids]
    return counters if all(counter.read() is not None for counter in counters) else []


def gpu_counter(uuid: str, nvml: Any) -> Counter:
    handle = ctypes.c_void_p()
    # NVML's functions return 0 where they succeed.
    is_known = nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)) == 0

    def read() -> float | None:
        energy = ctypes.c_ulonglong()
        if not is_known or nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(energy)):
            return None
        return energy.value * MILLI

    return Counter(read)


def counters_of(devices: "Sequence[torch.device]") -> dict[str, list[Counter]]:
    """Return the counters of the CPUs and of the GPUs that a run computes on, by names for records."""
    import torch

    gpus = [device for device in devices if device.type == "cuda"]
    uuids = [f"GPU-{torch.cuda.get_device_properties(device).uuid}" for device in gpus]
    counters = {"cpu_energy_joules": cpu_counters()}
    return counters | {"gpu_energy_joules": gpu_counters(uuids)} if uuids else counters
