"""Loading of a plugin: code of the user's, which nothing but the user's own word imports."""

import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from inspect import isclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from bench.configuration.class_names import class_paths, class_paths_of_bench
from bench.configuration.plugins import LOADED, NEEDED, Plugin, what_parts_need
from bench.errors import InputError
from bench.records.code import source_hash
from bench.records.schema import LONGEST_PLUGIN_NAME, is_line
from bench.system.files import MIB, read_bytes

GROUP = "likelihood_bench.parts"
LONGEST_SOURCE = 16 * MIB
# The module of a file has this before its name, so that it hides no other module.
PREFIX = "bench_plugin_"
T = TypeVar("T")


def load_plugin(place: str) -> Plugin:
    """Import the user's parts, so that configurations may name them in this process.

    Args:
        place: A Python file (its name ends in .py); the name of an entry point of the group
            ``likelihood_bench.parts`` of an installed package; or the name of a module.

    Raises:
        InputError: There is no such file or module, or it cannot be imported; it defines no part, or
            one that has a name that is taken or lacks a method; or its source has changed since it
            was loaded.

    Examples:
        >>> load_plugin("nowhere/my_parts.py")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        bench.errors.InputError: plugin: ...nowhere/my_parts.py: no such file
    """
    is_file = place.endswith(".py")
    place = str(Path(place).absolute()) if is_file else place
    name = Path(place).name if is_file else place
    if not is_line(name) or len(name) > LONGEST_PLUGIN_NAME:
        raise InputError(f"plugin: '{name[:200]}' is longer than {LONGEST_PLUGIN_NAME} letters")
    if place in LOADED:
        refuse_changed(LOADED[place], is_file)
        return LOADED[place]
    module, sources, version = import_file(place) if is_file else import_installed(place)
    defined = dict(classes_of(module, is_file))
    parts = {own: path for own, (path, cls) in defined.items() if family_of(cls)}
    others = tuple(own for own in defined if own not in parts)
    check_parts({own: cls for own, (_, cls) in defined.items() if own in parts}, name, others)
    plugin = Plugin(place, name, source_hash(sources()), version, parts, others)
    LOADED[place] = plugin
    return plugin


def load_plugins(places: list[str]) -> None:
    for place in places:
        load_plugin(place)


def refuse_changed(plugin: Plugin, is_file: bool) -> None:
    """Raise InputError if a plugin's source is no longer what this process has imported."""
    top = next(iter(plugin.parts.values())).partition(".")[0]
    place = plugin.place
    found = {"": source_of(Path(place))} if is_file else sources_of(sys.modules[top], place)
    if plugin.sha256 != source_hash(found):
        raise InputError(
            f"plugin: {plugin.name} has changed since it was imported; start the command again"
        )


Sources = Callable[[], dict[str, bytes]]


def import_file(place: str) -> tuple[ModuleType, Sources, str | None]:
    """Return the module of a file, a function that reads its source, and its version."""
    path = Path(place)
    content = source_of(path)
    try:
        code = compile(content, place, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise InputError(f"plugin: {path.name} is not Python: {line}{reason}") from None
    name = unused_name("".join(c if c.isalnum() else "_" for c in path.stem))
    module = ModuleType(name)
    module.__file__ = place
    sys.modules[name] = module
    before = set(sys.modules)
    try:
        importing(partial(exec, code, module.__dict__), path.name, place)
        refuse_siblings(path, set(sys.modules) - before)
    except InputError:
        del sys.modules[name]
        raise
    return module, lambda: {"": content}, version_of(module)


def unused_name(stem: str) -> str:
    """Return a name for a file's module that no other module of this process has."""
    name, number = PREFIX + stem, 2
    while name in sys.modules:
        name, number = f"{PREFIX}{stem}_{number}", number + 1
    return name


def refuse_siblings(path: Path, imported: set[str]) -> None:
    """Raise InputError if a file imported another beside it, which its hash does not cover."""
    if path.parent.name in ("site-packages", "dist-packages"):
        return
    for name in sorted({name.partition(".")[0] for name in imported} - {"bench"}):
        module = sys.modules.get(name)
        places = [getattr(module, "__file__", None) or "", *getattr(module, "__path__", [])]
        if any(place and Path(place).parent == path.parent for place in places):
            raise InputError(
                f"plugin: {path.name} imports {name} beside it, which the hash of one file does not "
                "cover; put both into one file, or into a package, and give the package's name"
            )


def import_installed(place: str) -> tuple[ModuleType, Sources, str | None]:
    """Return the module of an entry point or of a name, a function that reads its source, its version."""
    entry = entry_point(place)
    name = entry.module if entry else place
    top = name.partition(".")[0]
    if top == "bench":
        raise InputError(f"plugin: {place} is bench itself, whose parts need no --plugin")
    if entry is None and not is_importable(name):
        raise InputError(
            f"plugin: no module '{place[:200]}' and no entry point of that name in the group {GROUP} is "
            "installed; a file is named with its ending .py"
        )
    module = importing(partial(importlib.import_module, name), place)
    version = entry.dist.version if entry and entry.dist else version_of(sys.modules[top])
    return module, partial(sources_of, sys.modules[top], place), version


def entry_point(name: str) -> EntryPoint | None:
    """Return the entry point of this name; None without one."""
    found = list(entry_points(group=GROUP, name=name))
    if len({entry.value for entry in found}) > 1:
        values = ", ".join(sorted(entry.value for entry in found))
        raise InputError(f"plugin: {len(found)} installed packages have a '{name}': {values}")
    return found[0] if found else None


def is_importable(name: str) -> bool:
    """Tell whether there is a module of this name. Imports the packages that it is in."""
    if not all(word.isidentifier() for word in name.split(".")):
        return False
    find = importlib.util.find_spec
    return importing(lambda: find(name.partition(".")[0]), name) is not None


def importing(action: Callable[[], T], name: str, file: str = "") -> T:
    """Return what code of the user's returns.

    Raises:
        InputError: It raised an exception, whose line in the user's file the message has.
    """
    try:
        return action()
    except (Exception, SystemExit) as error:
        own = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        line = f"line {own[-1]}: " if own else ""
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise InputError(f"plugin: {name} cannot be imported: {line}{reason}") from None


def source_of(path: Path) -> bytes:
    try:
        return read_bytes(path, LONGEST_SOURCE)
    except FileNotFoundError:
        raise InputError(f"plugin: {path}: no such file") from None
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"plugin: {path}: cannot be read: {reason}") from None


def sources_of(top: ModuleType, place: str) -> dict[str, bytes]:
    """Return {path: content} of all Python files of a module, or of the package that it is in."""
    folders = [Path(folder) for folder in getattr(top, "__path__", [])]
    files = {
        path.relative_to(folder).as_posix(): source_of(path)
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
    }
    file = getattr(top, "__file__", None) or ""
    if not folders and file.endswith(".py"):
        files = {"": source_of(Path(file))}
    if not files:
        raise InputError(f"plugin: {place} has no Python source, by which its parts are identified")
    return files


def version_of(module: ModuleType) -> str | None:
    """Return a module's ``__version__``; None if it has none."""
    version = getattr(module, "__version__", None)
    if version is None or (is_line(version) and len(version) <= LONGEST_PLUGIN_NAME):
        return version
    raise InputError(f"plugin: {module.__name__}.__version__ is not a text in one line")


def classes_of(module: ModuleType, is_file: bool) -> Iterator[tuple[str, tuple[str, type]]]:
    """Yield (name, (import path, class)) of the classes that a plugin's module has of its own.

    These are those that it defines, and those of its package that it imports. Classes whose name
    begins with _ are left out.
    """
    top = module.__name__ if is_file else module.__name__.partition(".")[0]
    for name, value in vars(module).items():
        if isclass(value) and not name.startswith("_") and name == value.__name__:
            home = value.__module__
            if home == top or home.startswith(f"{top}."):
                yield name, (f"{home}.{name}", value)


def family_of(cls: type) -> type | None:
    """Return the base class of parts that a class descends from; None if it is no part."""
    from bench.densities.decoders import Decoder
    from bench.densities.priors import Prior
    from bench.models.terms import Model
    from bench.networks.mlp import Network

    return next((base for base in (Model, Network, Decoder, Prior) if issubclass(cls, base)), None)


def check_parts(parts: dict[str, type], plugin: str, others: tuple[str, ...]) -> None:
    """Raise InputError unless there are parts, which have all methods and names of their own."""
    if not parts:
        beside = f" (only {', '.join(others[:5])})" if others else ""
        raise InputError(f"plugin: {plugin} defines no part{beside}: {what_parts_need()}")
    for name, cls in parts.items():
        if (taken := class_paths().get(name)) is not None:
            whose = "bench has" if name in class_paths_of_bench() else "another plugin has"
            raise InputError(
                f"plugin: {plugin} defines {name}, a name that {whose} already ({taken}); rename it"
            )
        family = family_of(cls)
        assert family is not None
        for method in NEEDED[family.__name__]:
            alternatives = [word.partition("(")[0] for word in method.split(" or ")]
            if all(getattr(cls, one) is getattr(family, one) for one in alternatives):
                raise InputError(
                    f"plugin: {plugin}: {name} is a {family.__name__} without {method}"
                )
