"""The libraries of `make perf-peers`, where its environment is given and they are not installed here."""

import os
import sys

if folder := os.environ.get("BENCH_PEERS"):
    # Last, so that only what is missing here comes from there.
    sys.path.append(folder)
