"""What of this machine a process may use: less than it has under `taskset`, Slurm or in a container."""

import os
from collections.abc import Iterator
from pathlib import Path

GIB = 2**30
ROOT = Path("/")


def usable_cores(root: Path = ROOT) -> int:
    """Return the number of cores that this process may keep busy, at least 1.

    These are the cores that it may run on, and no more than the shares of cores that its control
    groups allow, rounded down: a run on part of a core would wait for the others.

    Args:
        root: Where /proc and /sys are.
    """
    allowed = getattr(os, "sched_getaffinity", None)
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    shares = [*shares_of_cores(root)]
    return max(int(min([cores, *shares])), 1)


def usable_memory(root: Path = ROOT) -> float:
    """Return how much memory this process may take, in GiB: what is free, or its groups' limit."""
    limits = [*limits_of_memory(root)]
    return min([available_memory(root), *limits]) / GIB


def shares_of_cores(root: Path) -> Iterator[float]:
    for folder in control_groups(root, "cpu"):
        words = words_of(folder / "cpu.max") or [
            *words_of(folder / "cpu.cfs_quota_us"),
            *words_of(folder / "cpu.cfs_period_us"),
        ]
        # Without a limit the first is `max`, or -1.
        if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]):
            yield int(words[0]) / int(words[1])


def limits_of_memory(root: Path) -> Iterator[int]:
    for folder in control_groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            for word in words_of(folder / name):
                if word.isdecimal():  # not `max`
                    yield int(word)


def control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in, inner ones first.

    A container may see its own group as the root, under whatever name the host has for it: folders
    that are not there are left to the reader.
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
    """Return the bytes that programs can still be given without swapping."""
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def words_of(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
