"""Tests that a process reuses freed memory and does not grow with its steps."""

import subprocess
import sys

import pytest

# Each step frees two blocks of 80 MB and keeps four bytes, as a training keeps its means.
STEPS = """
import torch
from bench.system.memory import keep_freed_memory

assert keep_freed_memory()
kept = []
for _ in range(20):
    first = torch.ones(20_000_000)
    second = first * 2
    del first
    kept.append(second.mean())
    del second
[peak] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak.split()[1]) * 1024)  # ru_maxrss would be that of the process which started this one
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is managed on Linux alone")
def test_a_process_that_keeps_a_number_of_each_step_does_not_grow() -> None:
    ran = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    imports, two_blocks = 500e6, 160e6
    assert int(ran.stdout) < imports + 3 * two_blocks
