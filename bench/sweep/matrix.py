"""From a sweep's YAML to its runs. Pure: reads nothing but what it is given."""

import json
from dataclasses import dataclass
from itertools import product
from typing import Any

from bench.errors import InputError

# The models that every task is held against; they are fitted in closed form, so one seed tells all.
REFERENCES = ("uniform", "independent_pixels")
SECTIONS = ("matrix", "exclude", "trainer", "evaluation", "overrides", "resources")
NAMED_AXES = ("data", "model", "trainer", "evaluation")


@dataclass(frozen=True)
class Cell:
    """One run of a matrix: the name of its row, and the options of ``bench train`` that make it."""

    data: str
    model: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Resources:
    """What each run is given.

    Args:
        cpus: CPU cores of a run.
        gpus: GPUs of a run; fractions let runs share one. None is one where the cluster has any
            GPU, else none.
    """

    cpus: float = 1
    gpus: float | None = None


def expand(sweep: Any, where: str) -> tuple[list[Cell], Resources]:
    """Return the cells of a sweep, references first in each task, and what each run is given.

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
            raise InputError(
                f"{where}: unknown section '{section}'; known are {', '.join(SECTIONS)}"
            )
    axes = checked_axes(sweep.get("matrix"), where)
    rules = checked_rules(sweep.get("overrides", []), axes, where)
    excluded = checked_exclusions(sweep.get("exclude", []), axes, where)
    base = [
        word
        for section in ("trainer", "evaluation")
        if section in sweep
        for word in (f"--{section}", str(sweep[section]))
    ]
    cells = [
        Cell(str(data), model, ("--data", str(data), *base, "--model", model, "--seed", "0"))
        for data in axes["data"]
        for model in REFERENCES
    ]
    for values in product(*axes.values()):
        point = dict(zip(axes, values))
        if not any(matches(condition, point) for condition in excluded):
            cells.append(cell_of(point, base, rules))
    return cells, checked_resources(sweep.get("resources"), where)


def checked_axes(axes: Any, where: str) -> dict[str, list]:
    if not isinstance(axes, dict):
        raise InputError(f"{where}: the section 'matrix' (axis: list of values) is missing")
    for name in ("data", "model"):
        if name not in axes:
            raise InputError(f"{where}: matrix has no axis '{name}'")
    for name, values in axes.items():
        if not isinstance(values, list) or not values:
            raise InputError(f"{where}: matrix.{name} is no list of values, or an empty one")
        if name not in (*NAMED_AXES, "seed") and name.split(".")[0] not in (*NAMED_AXES,):
            raise InputError(
                f"{where}: matrix.{name} is no axis; axes are data, model, seed, or an option such "
                "as model.latent_dimensions"
            )
        if len({json.dumps(value) for value in values}) < len(values):
            raise InputError(f"{where}: matrix.{name} holds a value twice")
        if name == "model":
            for reference in set(REFERENCES) & set(map(str, values)):
                raise InputError(f"{where}: matrix.model: {reference} is in every sweep already")
    return {"seed": [1]} | {name: values for name, values in axes.items()}


def checked_conditions(condition: Any, axes: dict[str, list], where: str) -> dict:
    if not isinstance(condition, dict) or not condition:
        raise InputError(f"{where}: a condition is a mapping of axes to values, not {condition!r}")
    for axis, wanted in condition.items():
        if axis not in axes:
            raise InputError(f"{where}: '{axis}' is no axis of this matrix ({', '.join(axes)})")
        for value in wanted if isinstance(wanted, list) else [wanted]:
            if value not in axes[axis]:
                raise InputError(
                    f"{where}: {axis}: {value!r} is not in the matrix, so it never applies"
                )
    return condition


def checked_exclusions(conditions: Any, axes: dict[str, list], where: str) -> list[dict]:
    if not isinstance(conditions, list):
        raise InputError(f"{where}: 'exclude' is a list of conditions")
    return [checked_conditions(c, axes, f"{where}: exclude") for c in conditions]


def checked_rules(rules: Any, axes: dict[str, list], where: str) -> list[dict]:
    if not isinstance(rules, list):
        raise InputError(f"{where}: 'overrides' is a list of {{when: …, set: …}}")
    for rule in rules:
        if (
            not isinstance(rule, dict)
            or set(rule) != {"when", "set"}
            or not isinstance(rule["set"], dict)
        ):
            raise InputError(
                f"{where}: an override is {{when: conditions, set: options}}, not {rule!r}"
            )
        checked_conditions(rule["when"], axes, f"{where}: overrides")
    return rules


def checked_resources(resources: Any, where: str) -> Resources:
    try:
        given = Resources(**(resources or {}))
    except TypeError:
        raise InputError(f"{where}: resources are cpus and gpus, not {resources!r}") from None
    for name in ("cpus", "gpus"):
        amount = getattr(given, name)
        least = 0.01 if name == "cpus" else 0
        if amount is not None and not (isinstance(amount, (int, float)) and least <= amount < 1e6):
            raise InputError(
                f"{where}: resources.{name}: {amount!r} is no number of {least} or more"
            )
    return given


def matches(condition: dict, point: dict) -> bool:
    return all(
        point[axis] in (wanted if isinstance(wanted, list) else [wanted])
        for axis, wanted in condition.items()
    )


def cell_of(point: dict, base: list[str], rules: list[dict]) -> Cell:
    """Return the run at a point of the matrix; its name tells whatever data and seed do not."""
    options = {
        name: value
        for rule in rules
        if matches(rule["when"], point)
        for name, value in rule["set"].items()
    }
    extra = {name: value for name, value in point.items() if name not in ("data", "model", "seed")}
    arguments = ["--data", str(point["data"]), *base, "--model", str(point["model"])]
    arguments += ["--seed", str(point["seed"])]
    # A class before its options, whichever of rule and axis names them.
    for name, value in sorted((options | extra).items(), key=lambda item: item[0].count(".")):
        arguments += [f"--{name}", in_yaml(value)]
    variants = [f"{name.rpartition('.')[2]}={in_yaml(value)}" for name, value in extra.items()]
    return Cell(str(point["data"]), " ".join([str(point["model"]), *variants]), tuple(arguments))


def in_yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
