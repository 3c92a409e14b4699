"""Environment variables of job launchers, and how to hide them from a run.

A run is one of many in a sweep and starts its own ranks. The variables of Slurm, torchrun, LSF and
Lightning that describe ranks, nodes, checkpoints and defaults refer to the whole job instead. Under
Slurm, for example, Lightning resumes from any ``hpc_ckpt_N.ckpt`` in the current folder.
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
    """Return whether a job launcher, or Lightning, reads or sets this environment variable."""
    return name in NAMES or name.startswith(PREFIXES)


@contextmanager
def hidden(chosen: Callable[[str], bool]) -> Iterator[dict[str, str]]:
    """Remove the environment variables whose names are ``chosen``, and restore them at the end.

    Yields:
        {name: value} of the removed variables.
    """
    removed = {name: os.environ.pop(name) for name in list(os.environ) if chosen(name)}
    try:
        yield removed
    finally:
        os.environ.update(removed)
