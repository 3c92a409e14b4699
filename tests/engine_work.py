"""What tests of the engine let it do, and the cluster that they let it do it on.

python -m tests.engine_work    # a cluster of two nodes; the first line read kills one of them
"""

import os
import sys
import time
from dataclasses import dataclass

from bench.errors import InputError


@dataclass(frozen=True)
class Named:
    key: str


def where(job, board):
    import ray

    time.sleep(0.5)
    return {"gpus": [str(name) for name in ray.get_gpu_ids()], "process": os.getpid()}


def trouble(job, board):
    if job.key == "input":
        raise InputError("the disk is full")
    raise RuntimeError("a bug")


def die(job, board):
    os._exit(7)


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
