"""Levels of a task: those that a pixel takes, and those that its training images lack."""

from typing import Literal, get_args

from bench.errors import InputError

Binarization = Literal["none", "static", "dynamic", "threshold"]


def check_known(option: str, value: object, known: object) -> None:
    """Raise InputError unless a value is one of those of a ``Literal``."""
    if value not in get_args(known):
        raise InputError(
            f"data.{option}: {value!r} is unknown; known: {', '.join(get_args(known))}"
        )


def check_left_out(every: object, binarization: Binarization, levels: int) -> None:
    """Raise InputError unless every k-th of the levels can be left out, where k is ``every``."""
    if not isinstance(every, int):
        raise InputError(f"data.leave_out_every: {every!r} is not a whole number")
    if every == 0:
        return
    if binarization != "none" or not 2 <= every < levels - 1:
        raise InputError(
            f"data.leave_out_every: {every} leaves out none of {levels} levels, or leaves "
            f"no neighbour of one; take 2 to {max(levels - 2, 2)} on a task with grey "
            "levels, or 0"
        )


def left_out(every: int, levels: int) -> list[int]:
    """Return every k-th level except the darkest and the brightest, where k is ``every``; 0 gives none."""
    return list(range(every, levels - 1, every)) if every else []


def levels_after(binarization: Binarization, native_levels: int) -> int:
    """Return the number of values that a pixel takes after binarization."""
    return native_levels if binarization == "none" else 2


def task_name(images: str, binarization: Binarization, levels: int, every: int) -> str:
    """Return the name under which results are compared: mnist-256, mnist-dynamic, digits-binary, …"""
    kind = {"none": str(levels), "threshold": "binary"}.get(binarization, binarization)
    name = f"{images}-{kind}"
    return f"{name}-without-every-{every}" if every else name
