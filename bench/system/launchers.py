"""What a launcher of whole jobs leaves in the environment, and how it is kept from a run.

A run is one of many in a sweep, and its ranks are its own: what Slurm, torchrun, LSF or a variable
of Lightning's says of ranks, nodes, checkpoints and defaults is not said of it. Lightning would,
say, go on from any ``hpc_ckpt_N.ckpt`` in the current folder wherever Slurm has started a task.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PREFIXES = ("SLURM_", "TORCHELASTIC_", "LSB_", "JSM_NAMESPACE_", "PL_")
NAMES = {
    "RANK",
    "LOCAL_RANK",
    "NODE_RANK",
    "GROUP_RANK",
    "ROLE_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_WORLD_SIZE",
    "ROLE_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "STANDALONE_PORT",
}


def is_a_launchers(name: str) -> bool:
    return name in NAMES or name.startswith(PREFIXES)


@contextmanager
def hidden(chosen: Callable[[str], bool]) -> Iterator[dict[str, str]]:
    """Take away the environment variables whose names are chosen, and put them back at the end.

    Gives what they were.
    """
    taken = {name: os.environ.pop(name) for name in list(os.environ) if chosen(name)}
    try:
        yield taken
    finally:
        os.environ.update(taken)
