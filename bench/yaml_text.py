"""YAML from strangers: plain data alone, and no more of it than a person would write.

A few lines whose aliases name one another stand for more data than any memory holds.
"""

from pathlib import Path
from typing import Any

import yaml

from bench.errors import InputError
from bench.files import regular_file, size_of

LONGEST_FILE = 2**20
MOST_PARTS, DEEPEST = 100_000, 50
MOST_BRACKETS = 1000


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, whose merge keys (``<<``) do not multiply for ever."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_PARTS:
            raise yaml.YAMLError("it stands for too much data")


def load_yaml(text: str) -> Any:
    """Return what a YAML text says. Raises ValueError, in a line, if it is none or too large."""
    try:
        value = yaml.load(text, Loader)
    except (yaml.YAMLError, LookupError, RecursionError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    check_size(value)
    return value


def check_nesting(words: list[str]) -> None:
    """Raise InputError where an option is nested so deep that its C reader would end the process."""
    for word in words:
        if word.count("[") + word.count("{") > MOST_BRACKETS:
            raise InputError(f"'{word[:50]}…' holds more than {MOST_BRACKETS} brackets")


def check_size(value: Any, most_parts: int = MOST_PARTS) -> None:
    """Raise ValueError if nested data has too many parts, each counted as often as it is named."""
    parts, level = 0, [value]
    for _ in range(DEEPEST):
        parts += len(level)
        if parts > most_parts:
            break
        level = [part for whole in level for part in parts_of(whole)][: most_parts + 1]
        if not level:
            return
    raise ValueError(f"it stands for more than {most_parts} parts, or is nested too deep")


def parts_of(value: Any) -> list:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return list(value) if isinstance(value, (list, tuple)) else []


def read_yaml(path: Path) -> Any:
    """Read a YAML file safely. Raises InputError with the place of the mistake."""
    try:
        with regular_file(path) as file:
            if size_of(file) > LONGEST_FILE:
                raise OSError(f"it is longer than {LONGEST_FILE:,} bytes")
            text = file.read().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    try:
        return load_yaml(text)
    except ValueError as error:
        raise InputError(f"{path}: no valid YAML: {error}") from None
