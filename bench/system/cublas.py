"""The environment variable of cuBLAS' workspace, on which reproducible results depend.

cuBLAS reads it once, when it starts, and promises the same bits in several streams for the values
:4096:8 and :16:8 alone (cuBLAS, section "Results reproducibility").
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

NAME, DETERMINISTIC = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"


def set_workspace() -> None:
    """Set the variable unless the user has."""
    os.environ.setdefault(NAME, DETERMINISTIC)


def own_workspace() -> dict[str, str]:
    """Return the variable for another machine's processes; empty if it is what they set themselves."""
    value = os.environ.get(NAME, DETERMINISTIC)
    return {} if value == DETERMINISTIC else {NAME: value}


@contextmanager
def same_workspace() -> Iterator[None]:
    """Keep the variable as it is: Lightning's Trainer replaces the user's value by its own."""
    before = os.environ.get(NAME, DETERMINISTIC)
    try:
        yield
    finally:
        os.environ[NAME] = before
