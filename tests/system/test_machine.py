"""What a process may use, on made-up /proc and /sys."""

import os

import pytest

from bench.system.machine import GIB, nvidia_driver, usable_cores, usable_memory


def made_up(root, groups, files):
    """Write /proc and /sys under ``root``, with 64 GiB that can be had."""
    content = {
        "proc/self/cgroup": groups,
        "proc/meminfo": f"MemTotal: 1 kB\nMemAvailable:  {64 * 2**20} kB\n",
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }
    for name, text in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def many_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)))


def test_a_process_bound_to_one_core_uses_one(tmp_path):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert usable_cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)
    assert usable_cores(tmp_path) == len(before)


VERSION_1 = "5:cpu,cpuacct:/jobs/7\n4:memory:/jobs/7\n0::/elsewhere\n"
QUOTA, PERIOD, LIMIT = "cpu.cfs_quota_us", "cpu.cfs_period_us", "memory.limit_in_bytes"
LIMITS = {
    "version 2": ("0::/jobs/7\n", {"jobs/7/cpu.max": "250000 100000\n"}, 2, 64),
    "of an outer group": (
        "0::/jobs/7\n",
        {
            "jobs/7/cpu.max": "max 100000\n",
            "jobs/cpu.max": "300000 100000\n",
            "jobs/7/memory.max": "max\n",
            "jobs/memory.max": f"{8 * GIB}\n",
        },
        3,
        8,
    ),
    "less than a core": ("0::/\n", {"cpu.max": "50000 100000\n"}, 1, 64),
    "version 1": (
        VERSION_1,
        {
            f"cpu,cpuacct/jobs/7/{QUOTA}": "400000\n",
            f"cpu,cpuacct/jobs/7/{PERIOD}": "100000\n",
            f"memory/jobs/7/{LIMIT}": f"{4 * GIB}\n",
        },
        4,
        4,
    ),
    "in a container that sees its own group as the root": (
        VERSION_1,
        {f"cpu/{QUOTA}": "200000\n", f"cpu/{PERIOD}": "100000\n", f"memory/{LIMIT}": f"{GIB}"},
        2,
        1,
    ),
    "none of version 1": (
        VERSION_1,
        {f"cpu/{QUOTA}": "-1\n", f"cpu/{PERIOD}": "100000\n", f"memory/{LIMIT}": f"{2**63 - 1}"},
        16,
        64,
    ),
    "more than there is": (
        "0::/\n",
        {"cpu.max": "9900000 100000\n", "memory.max": f"{99 * GIB}\n"},
        16,
        64,
    ),
    "both versions": (
        "4:memory:/\n0::/a\n",
        {"unified/a/cpu.max": "500000 100000\n"},
        5,
        64,
    ),
}


@pytest.mark.parametrize("case", LIMITS)
def test_limits_of_control_groups_are_seen(case, tmp_path, many_cores):
    groups, files, cores, memory = LIMITS[case]
    root = made_up(tmp_path, groups, files)
    assert (usable_cores(root), usable_memory(root)) == (cores, memory)


def test_without_proc_it_is_what_the_machine_has(tmp_path, many_cores):
    assert usable_cores(tmp_path) == 16 and usable_memory(tmp_path) > 0.1


@pytest.mark.parametrize(
    "line, version",
    [
        ("NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024", "550.54.15"),
        ("NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs)", "580.65.06"),
        ("NVIDIA UNIX x86_64 Kernel Module  535.98  Tue Mar  5", "535.98"),
        ("something else", None),
    ],
)
def test_the_driver_of_gpus_is_what_the_kernel_says(line, version, tmp_path):
    assert nvidia_driver(tmp_path) is None
    path = tmp_path / "proc" / "driver" / "nvidia" / "version"
    path.parent.mkdir(parents=True)
    path.write_text(f"NVRM version: {line}\nGCC version:  gcc version 11.4.0 (Ubuntu 11.4.0)\n")
    assert nvidia_driver(tmp_path) == version
