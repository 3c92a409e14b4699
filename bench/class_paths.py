"""The classes that a configuration may name; nothing else is ever imported or called for one.

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
from bench.yaml_text import check_size

# The modules whose classes may be called by their bare names.
CLASS_MODULES = (
    "bench.nets",
    "bench.convolutional",
    "bench.bolts",
    "bench.densities.decoders",
    "bench.densities.discretized",
    "bench.densities.exemplar",
    "bench.densities.priors",
    "bench.models.vae",
    "bench.models.bolts_vae",
    "bench.models.realnvp",
    "bench.models.convolutional_realnvp",
    "bench.models.variational_realnvp",
    "bench.models.reference",
    "bench.models.probabilistic_pca",
    "bench.models.gaussian_mixture",
)
# Their other modules may hold classes too, which are called by their whole paths.
CLASS_PACKAGES = ("bench.densities", "bench.models")
# Wraps objects of the caller's own, which no configuration holds.
WITHOUT_CLASSES = "bench.models.external"
# What a model is made of: each class that may be named descends from one of them.
FAMILIES = frozenset({"Model", "Network", "Decoder", "Prior"})
# Values and names in one configuration; the longest file of configs/ has 46.
MOST_OPTIONS = 1000


@lru_cache(maxsize=1)
def allowed_paths() -> frozenset[str]:
    """Return the paths of all classes that a configuration may name."""
    return classes_of(Path(__file__).parent)


def classes_of(root: Path) -> frozenset[str]:
    """Return the paths of the models, and of their parts, that a package's source defines.

    Args:
        root: The package's folder.
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
        known |= {bare(path) for path, parents in bases.items() if parents & known}
    return frozenset(path for path, parents in bases.items() if parents & known)


def class_modules(root: Path) -> list[str]:
    """Return the modules below ``root``, the package's folder, whose classes may be named."""
    found = set(CLASS_MODULES)
    for package in CLASS_PACKAGES:
        folder = root.parent / Path(*package.split("."))
        found |= {f"{package}.{path.stem}" for path in folder.glob("*.py")}
    return sorted(found - {WITHOUT_CLASSES})


def last_name(base: ast.expr) -> str:
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")


def bare(path: str) -> str:
    return path.rpartition(".")[2]


@lru_cache(maxsize=1)
def allowed_names() -> frozenset[str]:
    """Return all that may stand for a class: its path or its bare name."""
    return allowed_paths() | {bare(path) for path in allowed_paths()}


def check_class(name: Any, where: str) -> None:
    """Raise InputError unless this is the path, or the bare name, of an allowed class."""
    if not isinstance(name, str) or name not in allowed_names():
        raise InputError(
            f"{where}: {shown(name)} names code outside bench, or no model, network, decoder or "
            "prior of it"
        )


def check_class_paths(value: Any, where: str = "config") -> None:
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
    if text in allowed_paths() or re.fullmatch(r"[\w-]*", text):
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
