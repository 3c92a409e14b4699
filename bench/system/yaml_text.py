"""Untrusted YAML: only plain data, and no more of it than a person would write.

A few lines whose aliases refer to one another can expand to more data than fits into memory.
"""

from pathlib import Path
from types import NoneType
from typing import Any

import yaml

from bench.errors import InputError
from bench.system.files import regular_file, size_of

LONGEST_FILE = 2**20
MOST_PARTS, DEEPEST = 100_000, 50
MOST_BRACKETS = 1000
# JSON readers in other languages accept no more, and records hold no larger number.
LARGEST_WHOLE = 2**63 - 1


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with a limit on the size of merge keys (``<<``).

    A key that occurs twice in one mapping is an error; PyYAML would use its last value.
    """

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        names = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in names:
                    line = key.start_mark.line + 1
                    raise yaml.YAMLError(f"line {line}: the key '{key.value[:100]}' occurs twice")
                names.add(key.value)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_PARTS:
            raise yaml.YAMLError("it expands to too much data")


class Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper without aliases: repeated data is written out each time."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def in_one_line(value: Any) -> str:
    """Return plain data as YAML in one line, and text unchanged."""
    if isinstance(value, str):
        return value
    text: str = yaml.dump(value, Dumper=Dumper, default_flow_style=True, width=10**9)
    return text.removesuffix("...\n").strip()


def load_yaml(text: str) -> Any:
    """Return the data of a YAML text. Raises ValueError, in one line, if it is invalid or large."""
    try:
        value = yaml.load(text, Loader)
    except (yaml.YAMLError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    check_size(value)
    return value


def check_nesting(words: list[str]) -> None:
    """Raise InputError if an argument is nested so deeply that a C parser would crash."""
    for word in words:
        if word.count("[") + word.count("{") > MOST_BRACKETS:
            raise InputError(f"'{word[:50]}…' holds more than {MOST_BRACKETS} brackets")


def check_size(value: Any, most_parts: int = MOST_PARTS) -> None:
    """Raise ValueError if nested data is not plain, or has too many parts.

    A part that occurs repeatedly, by an alias, counts each time.
    """
    parts, level = 0, [value]
    for _ in range(DEEPEST):
        parts += len(level)
        if parts > most_parts:
            break
        level = [part for whole in level for part in plain_parts_of(whole)][: most_parts + 1]
        if not level:
            return
    raise ValueError(f"it expands to more than {most_parts} parts, or is nested too deeply")


def plain_parts_of(value: object) -> list[object]:
    """Return the parts of a list or dict. Raises ValueError if the value is not plain JSON data.

    A value of a subclass is not plain: its methods may do anything.
    """
    if type(value) is dict:
        for name in value:
            if type(name) is not str:
                raise ValueError(f"{str(name)[:50]!r} is not a name: names are strings; quote it")
        return [*value, *value.values()]
    if type(value) is list:
        return value
    if type(value) is int and abs(value) > LARGEST_WHOLE:
        raise ValueError("it contains an integer of more than 63 bits")
    if type(value) not in (str, int, float, bool, NoneType):
        raise ValueError(
            f"it contains a {type(value).__name__}; it may contain strings, numbers, true, false, "
            "null, lists and mappings"
        )
    return []


def read_yaml(path: Path) -> Any:
    """Read a YAML file safely. Raises InputError with the position of the error."""
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
        raise InputError(f"{path}: not valid YAML: {error}") from None
