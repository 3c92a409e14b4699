"""Energy from made-up counters: a folder like /sys/class/powercap, and an NVML of a few lines."""

import ctypes
import threading
from math import inf
from types import SimpleNamespace

import pytest

from bench.system.energy import MOST_WATTS, Counter, Meter, cpu_counters, gpu_counters, metered

RANGE = 262_143_328_850


def zone(root, name, energy, kind):
    folder = root / "sys/class/powercap" / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{kind}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
    (folder / "energy_uj").write_text(f"{energy}\n")
    return folder / "energy_uj"


@pytest.fixture
def packages(tmp_path):
    """Two packages, beside zones that are parts of them, or the whole platform."""
    zone(tmp_path, "intel-rapl:0:0", 1, "core")
    zone(tmp_path, "intel-rapl:2", 1, "psys")
    zone(tmp_path, "intel-rapl-mmio:0", 1, "package-0")
    return [
        zone(tmp_path, f"intel-rapl:{socket}", RANGE - 3_000_000, f"package-{socket}")
        for socket in (0, 1)
    ]


def test_the_packages_are_added_up_and_a_counter_that_wraps_goes_on(tmp_path, packages):
    with metered({"cpu": cpu_counters(tmp_path)}) as found:
        assert not found
        packages[0].write_text("2000000\n")
        packages[1].write_text(f"{RANGE - 1_000_000}\n")
    assert found == {"cpu": pytest.approx(5.0 + 2.0)}


def test_a_package_that_may_not_be_read_leaves_the_energy_unknown(tmp_path, packages):
    packages[1].write_text("")  # reading it as somebody else than root fails
    assert cpu_counters(tmp_path) == []
    packages[1].write_text("0\n")
    assert len(cpu_counters(tmp_path)) == 2
    with metered({"cpu": cpu_counters(tmp_path)}) as found:
        packages[1].unlink()
    assert found == {}


def test_without_counters_nothing_is_said_and_nothing_runs_beside(tmp_path):
    before = threading.active_count()
    with metered({"cpu": cpu_counters(tmp_path), "gpu": gpu_counters(["GPU-1"])}) as found:
        assert threading.active_count() == before
    assert found == {}


def meter_of(range_, values):
    """Return a meter whose counter shows these values, and its clock, which is set by hand."""
    clock, shown = SimpleNamespace(now=0.0), iter(values)
    return Meter([Counter(lambda: next(shown), range_)], lambda: clock.now), clock


def test_a_counter_is_read_often_enough_that_it_cannot_wrap_twice_unseen():
    meter, clock = meter_of(1000.0, [900.0, 300.0, 200.0])
    assert meter.interval == 1000.0 / MOST_WATTS / 4
    for clock.now in (0.9, 1.8):
        meter.take()
    assert meter.joules == 400.0 + 900.0


@pytest.mark.parametrize("seconds, known", [(0.9, True), (1.1, False)])
def test_a_reading_that_comes_too_late_is_not_trusted(seconds, known):
    meter, clock = meter_of(1000.0, [1.0, 2.0, 3.0])
    clock.now = seconds
    meter.take()
    meter.take()
    assert meter.joules == (2.0 if known else None)


def test_a_counter_that_went_back_without_a_range_is_not_trusted():
    meter, _ = meter_of(inf, [5.0, 1.0, 9.0])
    meter.take()
    meter.take()
    assert meter.joules is None


def test_counters_are_read_while_a_long_block_goes_on(monkeypatch):
    monkeypatch.setattr("bench.system.energy.LONGEST_INTERVAL", 0.001)
    readings = threading.Semaphore(0)

    def read():
        readings.release()
        return 1.0

    with metered({"cpu": [Counter(read)]}) as found:
        for _ in range(4):  # one is of the beginning
            assert readings.acquire(timeout=60)
    assert found == {"cpu": 0.0}


class NVML:
    """The functions that are used of NVML, for GPUs with these energies in millijoules."""

    def __init__(self, energies):
        self.energies = energies

    def nvmlInit_v2(self):
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid, handle):
        if uuid.decode() not in self.energies:
            return 6
        ctypes.cast(handle, ctypes.POINTER(ctypes.c_void_p))[0] = 1 + list(self.energies).index(
            uuid.decode()
        )
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, energy):
        value = list(self.energies.values())[handle.value - 1]
        ctypes.cast(energy, ctypes.POINTER(ctypes.c_ulonglong))[0] = value or 0
        return 3 if value is None else 0


def test_gpus_are_found_by_their_uuids_and_added_up():
    nvml = NVML({"GPU-a": 5_000, "GPU-b": 7_000, "GPU-old": None})
    with metered({"gpu": gpu_counters(["GPU-a", "GPU-b"], nvml)}) as found:
        nvml.energies |= {"GPU-a": 6_500, "GPU-b": 9_000}
    assert found == {"gpu": pytest.approx(3.5)}
    for name in ("GPU-old", "MIG-a", "GPU-elsewhere"):
        assert gpu_counters(["GPU-a", name], nvml) == []
