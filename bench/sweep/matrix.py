"""Expansion of a sweep's YAML to its runs. Reads no files."""

import json
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.records.schema import is_line
from bench.records.types import REFERENCES
from bench.sweep.resources import Resources, checked_resources
from bench.sweep.sections import (
    Condition,
    Options,
    Override,
    Point,
    check_extent,
    checked_axes,
    checked_exclusions,
    checked_links,
    checked_overrides,
)

SECTIONS = ("matrix", "zip", "exclude", "trainer", "evaluation", "overrides", "resources")


@dataclass(frozen=True)
class Cell:
    """One run of a matrix.

    Attributes:
        data: Name of its task's file.
        model: The name of its row.
        arguments: The options of ``bench train`` for it.
        point: {axis: value}, its place in the matrix.
        resources: The resources that it asks for.
    """

    data: str
    model: str
    arguments: tuple[str, ...]
    point: Point = field(default_factory=dict)
    resources: Resources = Resources()


def expand(sweep: Any, where: str) -> list[Cell]:
    """Return the cells of a sweep, references first.

    Args:
        sweep: The parsed YAML.
        where: The file's name, for messages.

    Raises:
        InputError: A section, axis or value that is misspelt, missing or empty.
    """
    if not isinstance(sweep, dict):
        raise InputError(f"{where}: a sweep is a mapping with the sections {', '.join(SECTIONS)}")
    for section in sweep:
        if section not in SECTIONS:
            raise InputError(f"{where}: unknown section '{section}'; known: {', '.join(SECTIONS)}")
    linked = checked_links(sweep.get("zip", []), where)
    axes = checked_axes(sweep.get("matrix"), linked, where)
    values = axes | {name: part for link in linked for name, part in link.items()}
    check_names(values["model"], where)
    check_extent(sweep, axes, linked, where)
    overrides = checked_overrides(sweep.get("overrides", []), values, where)
    excluded = checked_exclusions(sweep.get("exclude", []), values, where)
    resources = checked_resources(sweep.get("resources"), where)
    base = {name: str(sweep[name]) for name in ("trainer", "evaluation") if name in sweep}
    cells = [
        reference_cell(str(data), model, base) for data in values["data"] for model in REFERENCES
    ]
    # Linked axes are one axis, each of whose values sets several options.
    steps = [[{name: value} for value in part] for name, part in axes.items()]
    steps += [[dict(zip(link, row)) for row in zip(*link.values())] for link in linked]
    for parts in product(*steps):
        point = {name: value for part in parts for name, value in part.items()}
        if not any(matches(condition, point) for condition in excluded):
            cells.append(cell_of(point, base, overrides, resources))
            if not is_line(cells[-1].model):
                name = repr(cells[-1].model[:100])
                raise InputError(f"{where}: the name {name}… of a run has more than 300 characters")
    return cells


def name_in_tables(model: str) -> str:
    """Return the name of a model, which may be the path of a YAML file, as `bench train` does."""
    return Path(model).stem if model.endswith((".yaml", ".yml")) else model


def check_names(models: list[Any], where: str) -> None:
    """Raise InputError if two models of a sweep would have one name in the tables."""
    known: dict[str, str] = {}
    for model in map(str, models):
        name = name_in_tables(model)
        if name in REFERENCES:
            raise InputError(f"{where}: model: {name} is in every sweep already")
        other = known.setdefault(name, model)
        if other != model:
            raise InputError(
                f"{where}: model: {other} and {model} have one name in the tables; rename a file"
            )


def reference_cell(data: str, model: str, base: dict[str, str]) -> Cell:
    arguments = ["--data", data, *as_options(base), "--model", model, "--seed", "0"]
    return Cell(data, model, tuple(arguments), {"data": data, "model": model, "seed": 0})


def matches(condition: Condition, point: Point) -> bool:
    """Tell whether a point of the matrix meets a condition on every axis that it names."""
    return all(
        point[axis] in (wanted if isinstance(wanted, list) else [wanted])
        for axis, wanted in condition.items()
    )


def as_options(settings: Options) -> list[str]:
    """Return settings as words of a command line."""
    return [word for name, value in settings.items() for word in (f"--{name}", in_yaml(value))]


def with_settings(options: Options, settings: Options) -> Options:
    """Return ``options`` updated by ``settings``; a part that is named anew loses its old options."""
    kept = {
        name: value
        for name, value in options.items()
        if not any(name.startswith(f"{later}.") for later in settings)
    }
    return kept | settings


def cell_of(
    point: Point, base: dict[str, str], overrides: list[Override], resources: Resources
) -> Cell:
    """Return the run at a point of the matrix; its name has every axis but data and seed."""
    options: Options = {}
    for override in overrides:
        if matches(override.when, point):
            options = with_settings(options, override.options)
            resources = replace(resources, **override.resources)
    extra = {name: value for name, value in point.items() if name not in ("data", "model", "seed")}
    settings = options | extra
    # A trainer named here replaces the sweep's. If both were read, options of the sweep's trainer that
    # this one does not set would stay.
    base = {name: value for name, value in base.items() if name not in settings}
    arguments = ["--data", str(point["data"]), *as_options(base), "--model", str(point["model"])]
    arguments += ["--seed", str(point["seed"])]
    # A class comes before its options, whether an override or an axis names them.
    arguments += as_options(dict(sorted(settings.items(), key=lambda item: item[0].count("."))))
    variants = [f"{name.rpartition('.')[2]}={in_yaml(value)}" for name, value in extra.items()]
    model = " ".join([name_in_tables(str(point["model"])), *variants])
    return Cell(str(point["data"]), model, tuple(arguments), point, resources)


def selected(cells: list[Cell], only: str, where: str) -> list[Cell]:
    """Return the cells that meet the conditions of ``only``: ``task=digits-17 seed=1,2``.

    Raises:
        InputError: There is no condition, an axis that the sweep does not have, or no cell that meets
            all conditions.
    """
    conditions: dict[str, list[str]] = {}
    known = {"task"} | {name for cell in cells for name in cell.point}
    for word in only.split():
        name, equals, values = word.partition("=")
        if not equals or name not in known:
            raise InputError(
                f"only: '{word}' is not a condition axis=value,value with an axis of {where}: "
                f"{', '.join(sorted(known))}"
            )
        conditions["data" if name == "task" else name] = values.split(",")
    found = [
        cell
        for cell in cells
        if all(
            name in cell.point and names_of(name, cell.point[name]) & set(values)
            for name, values in conditions.items()
        )
    ]
    if not conditions or not found:
        raise InputError(f"only: no run of {where} matches '{only}'")
    return found


def names_of(axis: str, value: Any) -> set[str]:
    """Return the words that a value of an axis is selected by; a model has its name in the tables too."""
    word = in_yaml(value)
    return {word, name_in_tables(word)} if axis == "model" else {word}


def in_yaml(value: Any) -> str:
    """Return a value as a word of a command line that YAML reads as the same value."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
