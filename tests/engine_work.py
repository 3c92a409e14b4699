"""What tests of the engine let it do, and the cluster that they let it do it on.

python -m tests.engine_work    # a cluster of two nodes; the first line read kills one of them
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError


@dataclass(frozen=True)
class Named:
    key: str


def where(job, assigned):
    time.sleep(0.5)
    gpus = assigned.gpus
    return {"gpus": list(gpus.names), "share": gpus.share, "process": os.getpid()}


def trouble(job, assigned):
    if job.key == "input":
        raise InputError("the disk is full")
    raise RuntimeError("a bug")


def break_down(job, assigned):
    """Meet an error of CUDA: always, or once, which a file remembers."""
    here, before = str(os.getpid()), Path(job.key)
    if before.is_absolute() and before.exists():
        return {"first": before.read_text(), "then": here}
    if before.is_absolute():
        before.write_text(here)
    raise RuntimeError("CUDA error: an illegal memory access was encountered\nSearch for `cuda…")


def main() -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        print(cluster.address, flush=True)
        if sys.stdin.readline():
            cluster.remove_node(nodes[0], allow_graceful=False)
            sys.stdin.readline()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
