"""Cores and memory that this process may use: less than all under Slurm or in a container. And the
version of NVIDIA's driver."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

GIB = 2**30
ROOT = Path("/")


def usable_cores(root: Path = ROOT) -> int:
    """Return the number of cores that this process may keep busy, at least 1.

    This is the number of cores in its affinity mask, or the smallest CPU quota of its control
    groups if that is less. The quota is rounded down: a run on part of a core would delay others.

    Args:
        root: The folder that contains proc and sys.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(int(min([cores, *cpu_quotas(root)])), 1)


def usable_memory(root: Path = ROOT) -> float:
    """Return the memory that this process may use, in GiB: all that is free, or its groups' limit."""
    return min([available_memory(root), *memory_limits(root)]) / GIB


def nvidia_driver(root: Path = ROOT) -> str | None:
    """Return the version of NVIDIA's driver, such as 550.54.15; None if the kernel names none."""
    try:
        text = (root / "proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    found = re.search(r"\b\d{3}\.\d+(?:\.\d+)?\b", text.partition("Kernel Module")[2])
    return found[0] if found else None


def cpu_quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quotas of this process's control groups, in cores."""
    for folder in control_groups(root, "cpu"):
        words = words_of(folder / "cpu.max") or [
            *words_of(folder / "cpu.cfs_quota_us"),
            *words_of(folder / "cpu.cfs_period_us"),
        ]
        # Without a limit the first word is `max` or -1.
        if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]):
            yield int(words[0]) / int(words[1])


def memory_limits(root: Path) -> Iterator[int]:
    """Yield the memory limits of this process's control groups, in bytes."""
    for folder in control_groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            for word in words_of(folder / name):
                if word.isdecimal():  # not `max`
                    yield int(word)


def control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups, inner groups first.

    Some may not exist: a container may see its own group as the root, while the group's name is the
    host's.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mounted = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:  # version 2
            tops = [mounted, mounted / "unified"]
        elif controller in controllers.split(","):
            tops = [mounted / controller, mounted / controllers]
        else:
            continue
        inside = Path(group.lstrip("/"))
        for top in tops:
            yield from (top / part for part in (inside, *inside.parents))


def available_memory(root: Path) -> int:
    """Return the bytes that can be allocated without swapping."""
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def words_of(path: Path) -> list[str]:
    """Return the words of a text file; none if it cannot be read."""
    try:
        return path.read_text().split()
    except OSError:
        return []
