"""The classes that a configuration may name; a configuration imports and calls nothing else.

Configurations use bare class names, which stay valid when a class moves to another module.
Configurations are untrusted: they come in checkpoints, records and YAML. This module looks up the
names in the source of the benchmark's own modules before anything is imported.
"""

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.configuration.plugins import defines_other, outside_paths, what_parts_need
from bench.errors import InputError
from bench.records.key import HISTORICAL_PATHS, bare_name
from bench.system.yaml_text import check_size

# The modules and packages whose classes a configuration may name.
CLASS_MODULES = ("bench.networks.mlp", "bench.networks.convolutional", "bench.networks.bolts")
CLASS_PACKAGES = ("bench.densities", "bench.models")
# Excluded: wraps the caller's own objects, which no configuration describes.
EXCLUDED_MODULE = "bench.library.external"
# Base classes: every class that a configuration may name descends from one of them.
FAMILIES = frozenset({"Model", "Network", "Decoder", "Prior", "Posterior"})
# Largest number of values and names in a configuration; the longest file of configs/ has 46.
MOST_OPTIONS = 1000


def class_paths() -> dict[str, str]:
    """Return {name: import path} of all classes that a configuration may name.

    Besides the benchmark's own these are the parts of the plugins that the user has given.
    """
    return class_paths_of_bench() | outside_paths()


@lru_cache(maxsize=1)
def class_paths_of_bench() -> dict[str, str]:
    """Return {name: import path} of the benchmark's own classes."""
    return classes_of(Path(__file__).parents[1])


def classes_of(root: Path) -> dict[str, str]:
    """Return {name: import path} of the models and their parts that a package's source defines.

    Args:
        root: The package's folder.

    Raises:
        InputError: Two classes have the same name.
    """
    bases: dict[str, set[str]] = {}
    for module in class_modules(root):
        source = (root.parent / Path(*module.split("."))).with_suffix(".py")
        for node in ast.parse(source.read_bytes()).body:
            if isinstance(node, ast.ClassDef):
                bases[f"{module}.{node.name}"] = {last_name(base) for base in node.bases}
    known, before = set(FAMILIES), 0
    while len(known) > before:
        before = len(known)
        known |= {bare_name(path) for path, parents in bases.items() if parents & known}
    found: dict[str, str] = {}
    for path in (path for path, parents in bases.items() if parents & known):
        if found.setdefault(bare_name(path), path) != path:
            raise InputError(
                f"class {bare_name(path)}: both {found[bare_name(path)]} and {path} define it"
            )
    return found


def class_modules(root: Path) -> list[str]:
    """Return the modules in the package's folder ``root`` whose classes may be named."""
    found = set(CLASS_MODULES)
    for package in CLASS_PACKAGES:
        folder = root.parent / Path(*package.split("."))
        found |= {f"{package}.{path.stem}" for path in folder.glob("*.py")}
    return sorted(found - {EXCLUDED_MODULE})


def last_name(base: ast.expr) -> str:
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")


def names_of_paths() -> dict[str, str]:
    """Return {import path: name} of all allowed classes, with current paths and those of old records."""
    return names_of_paths_of_bench() | {path: name for name, path in outside_paths().items()}


@lru_cache(maxsize=1)
def names_of_paths_of_bench() -> dict[str, str]:
    known = class_paths_of_bench()
    historical = {path: name for name, path in HISTORICAL_PATHS.items() if name in known}
    return historical | {path: name for name, path in known.items()}


def class_name(text: str) -> str | None:
    """Return the name of an allowed class, given its name or import path; None for other texts."""
    return text if text in class_paths() else names_of_paths().get(text)


def check_class(text: Any, where: str) -> str:
    """Return the name of an allowed class, given its name or import path; else raise InputError."""
    name = class_name(text) if isinstance(text, str) else None
    if name is None:
        if isinstance(text, str) and (plugin := defines_other(text)):
            raise InputError(f"{where}: {text} of {plugin.name} is no part: {what_parts_need()}")
        raise InputError(
            f"{where}: {quoted(text)} is not a model, network, decoder, prior or posterior of bench; code "
            "outside bench is refused, unless --plugin gives it"
        )
    return name


def with_paths(value: Any) -> Any:
    """Return checked plain data with each class name replaced by the current import path."""
    if isinstance(value, dict):
        return {name: with_paths(part) for name, part in value.items()}
    if isinstance(value, list):
        return [with_paths(part) for part in value]
    name = class_name(value) if isinstance(value, str) else None
    return value if name is None else class_paths()[name]


def check_classes(value: Any, where: str = "config") -> None:
    """Refuse data that names code other than an allowed class, before anything is imported.

    Where an option accepts a class, jsonargparse parses every text as YAML and then as an import
    path. So a text must be an allowed class, a number, or a word without a dot. Data that is longer
    than any configuration is refused too: jsonargparse would take hours to parse it.

    Raises:
        InputError: Such a text, too much data, or data that is not plain.
    """
    try:
        check_size(value, MOST_OPTIONS)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    for name, part in parts_of(value):
        if name == "class_path":
            check_class(part, where)
        elif isinstance(part, str) and (defines_other(part) or not is_harmless(part)):
            if "." in part or defines_other(part):
                check_class(part, where)
            raise InputError(f"{where}: {quoted(part)} is not a value of an option")


def is_harmless(text: str) -> bool:
    """Return whether a text is an allowed class, a word without a dot, or a number."""
    if class_name(text) or re.fullmatch(r"[\w-]*", text):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def parts_of(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each part of nested plain data with the name of its option."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield key, part
            yield from parts_of(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from parts_of(part)
    else:
        yield name, value


def quoted(value: Any) -> str:
    """Return a value as a message shows it, cut to a readable length."""
    return repr(value[:200] if isinstance(value, str) else value)[:220]
