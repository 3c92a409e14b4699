"""The parts from outside that this process has loaded, and what configurations say of them.

A plugin is loaded by the user's word alone, see `load_plugin`. A configuration, which may be a
stranger's, only names the plugins that its run needs: name, version and hash of their source.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.errors import InputError
from bench.records.key import bare_name
from bench.records.row import version_text
from bench.records.schema import problem_of_plugins
from bench.records.types import Config, PluginRecord

# {base class: what its parts must define, as alternatives where one of several will do}.
NEEDED = {
    "Model": ("terms(y, noise, samples, index)", "sample(n, noise)"),
    "Network": ("forward(x)",),
    "Decoder": (
        "log_prob_of_pixels(outputs, y, noise) or log_prob(outputs, y, noise)",
        "sample(outputs, noise)",
        "mean(outputs)",
    ),
    "Prior": ("forward(encode, noise, index)",),
}


@dataclass(frozen=True)
class Plugin:
    """A file, module or package of the user's that defines parts.

    Attributes:
        place: What loads it, in any process of this machine: a file's absolute path, or a name.
        name: Its name in messages and records: that of the file without its folder, or of the module.
        sha256: Hash of its source without docstrings, comments and blank lines.
        version: That of its distribution, or its ``__version__``; None if it has neither.
        parts: {name of a class that configurations may name: its import path}.
        others: Names of the classes that it defines beside them.
    """

    place: str
    name: str
    sha256: str
    version: str | None
    parts: dict[str, str]
    others: tuple[str, ...]

    @property
    def record(self) -> PluginRecord:
        return {"name": self.name, "version": self.version, "sha256": self.sha256}


# {place: plugin}, as the modules themselves are of the process.
LOADED: dict[str, Plugin] = {}


class PluginMissing(InputError):
    """A configuration needs a plugin that the user has not given, or has given with other source."""


def outside_paths() -> dict[str, str]:
    """Return {name: import path} of the parts of all loaded plugins."""
    return {name: path for plugin in LOADED.values() for name, path in plugin.parts.items()}


def defines_other(name: str) -> Plugin | None:
    """Return the plugin that defines a class of this name which is not a part; None without one."""
    return next((plugin for plugin in LOADED.values() if name in plugin.others), None)


def used_by(model: Any) -> list[Plugin]:
    """Return the plugins whose parts a model's settings name, by name and hash."""
    named = set(class_names_in(model))
    used = [plugin for plugin in LOADED.values() if named & plugin.parts.keys()]
    return sorted(used, key=lambda plugin: (plugin.name, plugin.sha256))


def class_names_in(value: Any) -> Iterator[str]:
    """Yield the name of every class in nested settings."""
    if isinstance(value, dict):
        if isinstance(value.get("class_path"), str):
            yield bare_name(value["class_path"])
        for part in value.values():
            yield from class_names_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from class_names_in(part)


def with_plugins(config: Config) -> Config:
    """Return a configuration that says which loaded plugins its model is made of, if any."""
    kept = {name: part for name, part in config.items() if name != "plugins"}
    used = [plugin.record for plugin in used_by(config["model"])]
    return kept | ({"plugins": used} if used else {})


def check_loaded(recorded: Any) -> None:
    """Refuse a configuration's ``plugins`` unless each is loaded, with the same source and version.

    Raises:
        PluginMissing: One is not, and the user has to give it.
        InputError: This is no list of plugins.
    """
    if problem := problem_of_plugins(recorded):
        raise InputError(f"config: {problem}")
    for wanted in recorded:
        known = [plugin.record for plugin in LOADED.values()]
        if any(same_source(wanted, one) for one in known):
            continue
        needed = f"this run needs --plugin {described(wanted)}"
        given = next((one for one in known if one["name"] == wanted["name"]), None)
        raise PluginMissing(
            f"plugin: {needed}; the one that was given has {source_of(given)}"
            if given
            else f"plugin: {needed}; give it"
        )


def same_source(one: PluginRecord, other: PluginRecord) -> bool:
    return (one["sha256"], one["version"]) == (other["sha256"], other["version"])


def described(plugin: PluginRecord) -> str:
    return f"{plugin['name']} with {source_of(plugin)}"


def source_of(plugin: PluginRecord) -> str:
    return f"SHA-256 {plugin['sha256']}{version_text(plugin)}"


def what_parts_need() -> str:
    """Return in words what makes a class a part."""
    each = (f"{family} with {', '.join(methods)}" for family, methods in NEEDED.items())
    return f"a part is a subclass of {'; of '.join(each)}"
