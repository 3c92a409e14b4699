"""The classes that a configuration may name; nothing else is ever imported or called for one.

A class is named by its bare name, which stays when its file is moved or another one exports it.
Configurations come from strangers, in checkpoints, records and YAML. What they name is looked up here,
in the source of the benchmark's own modules, before anything is imported.
"""

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.records.key import HISTORICAL_PATHS, bare_name
from bench.system.yaml_text import check_size

# The modules and packages whose classes may be named.
CLASS_MODULES = ("bench.networks.mlp", "bench.networks.convolutional", "bench.networks.bolts")
CLASS_PACKAGES = ("bench.densities", "bench.models")
# Wraps objects of the caller's own, which no configuration holds.
WITHOUT_CLASSES = "bench.library.external"
# What a model is made of: each class that may be named descends from one of them.
FAMILIES = frozenset({"Model", "Network", "Decoder", "Prior"})
# Values and names in one configuration; the longest file of configs/ has 46.
MOST_OPTIONS = 1000


@lru_cache(maxsize=1)
def class_paths() -> dict[str, str]:
    """Return {name: import path} of all classes that a configuration may name."""
    return classes_of(Path(__file__).parents[1])


def classes_of(root: Path) -> dict[str, str]:
    """Return {name: import path} of the models, and of their parts, that a package's source defines.

    Args:
        root: The package's folder.

    Raises:
        InputError: Two classes of one name, which a configuration could not tell apart.
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
                f"class {bare_name(path)}: is both {found[bare_name(path)]} and {path}"
            )
    return found


def class_modules(root: Path) -> list[str]:
    """Return the modules below ``root``, the package's folder, whose classes may be named."""
    found = set(CLASS_MODULES)
    for package in CLASS_PACKAGES:
        folder = root.parent / Path(*package.split("."))
        found |= {f"{package}.{path.stem}" for path in folder.glob("*.py")}
    return sorted(found - {WITHOUT_CLASSES})


def last_name(base: ast.expr) -> str:
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")


@lru_cache(maxsize=1)
def names_of_paths() -> dict[str, str]:
    """Return {import path: name} of all allowed classes: the paths of today and those of old records."""
    known = class_paths()
    historical = {path: name for name, path in HISTORICAL_PATHS.items() if name in known}
    return historical | {path: name for name, path in known.items()}


def class_name(text: str) -> str | None:
    """Return the name of the allowed class that ``text``, a name or an import path, stands for."""
    return text if text in class_paths() else names_of_paths().get(text)


def check_class(text: Any, where: str) -> str:
    """Return the name of the allowed class that ``text`` stands for. Raises InputError without one."""
    name = class_name(text) if isinstance(text, str) else None
    if name is None:
        raise InputError(
            f"{where}: {shown(text)} names code outside bench, or no model, network, decoder or "
            "prior of it"
        )
    return name


def with_paths(value: Any) -> Any:
    """Return checked plain data with today's import path for each text that stands for a class."""
    if isinstance(value, dict):
        return {name: with_paths(part) for name, part in value.items()}
    if isinstance(value, list):
        return [with_paths(part) for part in value]
    name = class_name(value) if isinstance(value, str) else None
    return value if name is None else class_paths()[name]


def check_classes(value: Any, where: str = "config") -> None:
    """Refuse whatever names other code than an allowed class, before anything is imported.

    jsonargparse takes every text for an import path where a class may stand, and reads it as YAML
    before. So a text is an allowed class, a number, or a word without a dot. What is longer than
    any configuration is refused too: jsonargparse would take hours over it.

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
        elif isinstance(part, str) and not is_harmless(part):
            if "." in part:
                check_class(part, where)
            raise InputError(f"{where}: {shown(part)} is no value of an option")


def is_harmless(text: str) -> bool:
    """Tell whether a text is an allowed class, a word without a dot, or a number."""
    if class_name(text) or re.fullmatch(r"[\w-]*", text):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def parts_of(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested plain data part by part, each with the option that it belongs to."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield key, part
            yield from parts_of(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from parts_of(part)
    else:
        yield name, value


def shown(value: Any) -> str:
    return repr(value[:200] if isinstance(value, str) else value)[:220]
