"""The manifest of a sweep: the keys of its runs, in the order of its tables, and what they are."""

import json
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from bench.errors import InputError
from bench.records.record import has_record
from bench.records.schema import is_key
from bench.system.files import MIB, read_text, write_atomically

# A manifest of a million runs, a tenth of them of different recipes, has 50 MB.
LONGEST_MANIFEST = 64 * MIB


class Recipe(TypedDict):
    """What tells about how long a run takes; the seeds of a model share it."""

    task: str
    model: str
    max_epochs: int
    importance_samples: int


class Manifest(TypedDict):
    """What manifest.json holds.

    ``single_runs`` is true where `bench train` wrote it. ``recipe_of`` has for each key the position
    of its recipe in ``recipes``; manifests from before November 2026 have neither.
    """

    sweep: str
    keys: list[str]
    single_runs: NotRequired[bool]
    recipes: NotRequired[list[Recipe]]
    recipe_of: NotRequired[list[int]]


def manifest_path(directory: Path) -> Path:
    return directory / "manifest.json"


def write_manifest(directory: Path, keys: list[str], recipes: list[Recipe] | None = None) -> None:
    """Write the keys of a sweep's runs, in the order of its tables, and the recipe of each."""
    content: dict[str, Any] = {"sweep": directory.name, "keys": keys}
    if recipes is not None:
        texts = [json.dumps(recipe, sort_keys=True) for recipe in recipes]
        positions = {text: position for position, text in enumerate(dict.fromkeys(texts))}
        content["recipes"] = [json.loads(text) for text in positions]
        content["recipe_of"] = [positions[text] for text in texts]
    text = json.dumps(content, indent=1) + "\n"
    path = manifest_path(directory)
    try:
        is_written = read_text(path, LONGEST_MANIFEST) == text
    except (OSError, ValueError):
        is_written = False
    if not is_written:
        write_atomically(path, text)


def read_manifest(directory: Path) -> list[str]:
    """Return the keys of a sweep's runs. Raises InputError if the folder has no sweep."""
    try:
        keys = json.loads(read_text(manifest_path(directory), LONGEST_MANIFEST))["keys"]
        if not isinstance(keys, list) or not all(map(is_key, keys)):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"results: no sweep in {directory} (no readable manifest.json)") from None
    if len(set(keys)) < len(keys):
        raise InputError(f"report: {manifest_path(directory)} names a run more than once")
    return keys


def missing_keys(directory: Path) -> list[str]:
    """Return the keys of a sweep's runs that have no record."""
    keys = read_manifest(directory)
    return [key for key in keys if not has_record(directory / "runs", key)]


def read_recipes(directory: Path) -> dict[str, Recipe]:
    """Return {key: recipe} of a sweep's runs; empty if its manifest does not hold any."""
    content = json.loads(read_text(manifest_path(directory), LONGEST_MANIFEST))
    recipes, positions = content.get("recipes"), content.get("recipe_of")
    if not isinstance(recipes, list) or not isinstance(positions, list):
        return {}
    return {
        key: recipes[position]
        for key, position in zip(content["keys"], positions)
        if type(position) is int and 0 <= position < len(recipes) and is_recipe(recipes[position])
    }


def is_recipe(value: object) -> bool:
    """Tell whether a value from a manifest is a recipe, with numbers that a run can have."""
    if not isinstance(value, dict):
        return False
    numbers = [value.get(name) for name in ("max_epochs", "importance_samples")]
    texts = [value.get(name) for name in ("task", "model")]
    return all(isinstance(text, str) for text in texts) and all(
        type(number) is int and 0 <= number < 10**9 for number in numbers
    )
