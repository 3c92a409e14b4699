"""From a sweep's YAML to its runs. Pure: reads nothing but what it is given."""

import json
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import Any

from bench.errors import InputError
from bench.records.schema import is_line
from bench.sweep.resources import Resources, checked_resources

# The models that every task is held against; they are fitted in closed form, so one seed tells all.
REFERENCES = ("uniform", "independent_pixels")
SECTIONS = ("matrix", "zip", "exclude", "trainer", "evaluation", "overrides", "resources")
# A year of a large machine; and comparisons of runs with conditions that take seconds.
MOST_RUNS, MOST_COMPARISONS = 100_000, 10**8
NAMED_AXES = ("data", "model", "trainer", "evaluation")


@dataclass(frozen=True)
class Cell:
    """One run of a matrix.

    Attributes:
        data: Name of its task's file.
        model: The name of its row.
        arguments: The options of ``bench train`` that make it.
        point: {axis: value}: where it stands in the matrix.
        resources: What it asks for.
    """

    data: str
    model: str
    arguments: tuple[str, ...]
    point: dict = field(default_factory=dict)
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
            raise InputError(
                f"{where}: unknown section '{section}'; known are {', '.join(SECTIONS)}"
            )
    linked = checked_links(sweep.get("zip", []), where)
    axes = checked_axes(sweep.get("matrix"), linked, where)
    values = axes | {name: part for link in linked for name, part in link.items()}
    check_extent(sweep, axes, linked, where)
    rules = checked_rules(sweep.get("overrides", []), values, where)
    excluded = checked_exclusions(sweep.get("exclude", []), values, where)
    resources = checked_resources(sweep.get("resources"), where)
    base = {name: str(sweep[name]) for name in ("trainer", "evaluation") if name in sweep}
    cells = [
        reference_cell(str(data), model, base) for data in values["data"] for model in REFERENCES
    ]
    # Linked axes are one axis, whose points name several options.
    steps = [[{name: value} for value in part] for name, part in axes.items()]
    steps += [[dict(zip(link, row)) for row in zip(*link.values())] for link in linked]
    for parts in product(*steps):
        point = {name: value for part in parts for name, value in part.items()}
        if not any(matches(condition, point) for condition in excluded):
            cells.append(cell_of(point, base, rules, resources))
            if not is_line(cells[-1].model):
                name = repr(cells[-1].model[:100])
                raise InputError(f"{where}: the name {name}… of a run has more than 300 characters")
    return cells


def check_extent(sweep: dict, axes: dict, linked: list[dict], where: str) -> None:
    """Refuse a matrix of more runs than anyone does, before they are written out."""
    steps = [*axes.values(), *(next(iter(link.values())) for link in linked)]
    runs = prod(map(len, steps))
    if runs > MOST_RUNS:
        raise InputError(
            f"{where}: the matrix has {runs:,} runs, more than {MOST_RUNS:,}; name fewer values"
        )
    conditions = json.dumps([sweep.get("exclude"), sweep.get("overrides")])
    if max(runs, *map(len, steps)) * conditions.count(",") > MOST_COMPARISONS:
        raise InputError(
            f"{where}: its exclude and overrides name too many values for {runs:,} runs"
        )


def reference_cell(data: str, model: str, base: dict[str, str]) -> Cell:
    arguments = ["--data", data, *as_options(base), "--model", model, "--seed", "0"]
    return Cell(data, model, tuple(arguments), {"data": data, "model": model, "seed": 0})


def checked_links(links: Any, where: str) -> list[dict[str, list]]:
    """Return the section ``zip``: groups of axes that go through their values together."""
    if not isinstance(links, list) or not all(isinstance(link, dict) and link for link in links):
        raise InputError(
            f"{where}: 'zip' is a list of mappings, each of axes to lists of one length"
        )
    checked = []
    for link in links:
        values = {name: checked_values(name, part, f"{where}: zip") for name, part in link.items()}
        lengths = {len(part) for part in values.values()}
        if len(values) < 2 or len(lengths) > 1:
            raise InputError(
                f"{where}: zip: {', '.join(values)}: two axes or more, with as many values each"
            )
        rows = [json.dumps(row) for row in zip(*values.values())]
        if len(set(rows)) < len(rows):
            raise InputError(f"{where}: zip: {', '.join(values)} go through a combination twice")
        checked.append(values)
    return checked


def checked_axes(axes: Any, linked: list[dict], where: str) -> dict[str, list]:
    """Return the section ``matrix`` with its ranges written out; ``linked`` are further axes."""
    if not isinstance(axes, dict):
        raise InputError(f"{where}: the section 'matrix' (axis: list of values) is missing")
    names = [name for link in linked for name in link]
    for name in {"data", "model"} - {*axes, *names}:
        raise InputError(f"{where}: matrix has no axis '{name}'")
    for name in names:
        if name in axes or names.count(name) > 1:
            raise InputError(f"{where}: zip: {name} is an axis twice")
    checked = {name: checked_values(name, part, f"{where}: matrix") for name, part in axes.items()}
    for name, values in checked.items():
        if len({json.dumps(value) for value in values}) < len(values):
            raise InputError(f"{where}: matrix.{name} holds a value twice")
    return ({} if "seed" in names else {"seed": [1]}) | checked


def checked_values(name: Any, values: Any, where: str) -> list:
    """Return an axis' values: a list, or a range {from: …, to: …, step: …}, both ends included."""
    if name not in (*NAMED_AXES, "seed") and str(name).split(".")[0] not in NAMED_AXES:
        raise InputError(
            f"{where}.{name} is no axis; axes are data, model, seed, or an option such "
            "as model.latent_dimensions"
        )
    if isinstance(values, dict):
        values = values_of_range(values, f"{where}.{name}")
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}.{name} is no list of values, no range, or an empty one")
    if name == "model":
        for reference in set(REFERENCES) & set(map(str, values)):
            raise InputError(f"{where}.model: {reference} is in every sweep already")
    return values


def values_of_range(given: dict, where: str) -> list:
    bounds = {"step": 1} | given
    numbers = [bounds.get(name) for name in ("from", "to", "step")]
    if set(bounds) != {"from", "to", "step"} or not all(
        isinstance(x, (int, float)) and not isinstance(x, bool) and abs(x) < 1e12 for x in numbers
    ):
        raise InputError(f"{where}: a range is {{from: number, to: number, step: number}}")
    first, last, step = numbers
    count = int((last - first) / step + 1e-9) + 1 if step > 0 and last >= first else 0
    if not 0 < count <= 100_000:
        raise InputError(f"{where}: a range from {first} to {last} in steps of {step} is no range")
    # Rounded, so that 0.1 steps give 0.3 and not 0.30000000000000004.
    return [
        value if isinstance(value := first + step * i, int) else round(value, 12)
        for i in range(count)
    ]


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
            or not {"when"} < set(rule) <= {"when", "set", "resources"}
            or not isinstance(rule.get("set", {}), dict)
        ):
            raise InputError(
                f"{where}: an override is {{when: conditions, set: options, resources: …}}, "
                f"not {rule!r}"
            )
        checked_conditions(rule["when"], axes, f"{where}: overrides")
        checked_resources(rule.get("resources"), f"{where}: overrides")
    return rules


def matches(condition: dict, point: dict) -> bool:
    return all(
        point[axis] in (wanted if isinstance(wanted, list) else [wanted])
        for axis, wanted in condition.items()
    )


def as_options(settings: dict) -> list[str]:
    return [word for name, value in settings.items() for word in (f"--{name}", in_yaml(value))]


def with_settings(options: dict, settings: dict) -> dict:
    """Return ``options`` with the later ``settings``; what is named anew starts without options."""
    kept = {
        name: value
        for name, value in options.items()
        if not any(name.startswith(f"{later}.") for later in settings)
    }
    return kept | settings


def cell_of(point: dict, base: dict[str, str], rules: list[dict], resources: Resources) -> Cell:
    """Return the run at a point of the matrix; its name tells whatever data and seed do not."""
    options: dict = {}
    for rule in rules:
        if matches(rule["when"], point):
            options = with_settings(options, rule.get("set", {}))
            resources = replace(resources, **rule.get("resources", {}))
    extra = {name: value for name, value in point.items() if name not in ("data", "model", "seed")}
    settings = options | extra
    # A trainer named here replaces the sweep's: read over it, it would keep what it does not name.
    base = {name: value for name, value in base.items() if name not in settings}
    arguments = ["--data", str(point["data"]), *as_options(base), "--model", str(point["model"])]
    arguments += ["--seed", str(point["seed"])]
    # A class before its options, whichever of rule and axis names them.
    arguments += as_options(dict(sorted(settings.items(), key=lambda item: item[0].count("."))))
    variants = [f"{name.rpartition('.')[2]}={in_yaml(value)}" for name, value in extra.items()]
    model = " ".join([str(point["model"]), *variants])
    return Cell(str(point["data"]), model, tuple(arguments), point, resources)


def selected(cells: list[Cell], only: str, where: str) -> list[Cell]:
    """Return the cells that ``only`` names, say ``task=digits-17 model=realnvp seed=1,2``.

    Raises:
        InputError: No condition, an axis that the sweep has not, or nothing that meets them all.
    """
    conditions = {}
    known = {"task"} | {name for cell in cells for name in cell.point}
    for word in only.split():
        name, equals, values = word.partition("=")
        if not equals or name not in known:
            raise InputError(
                f"only: '{word}' is no condition; they have the form axis=value,value with an "
                f"axis of {where}: {', '.join(sorted(known))}"
            )
        conditions["data" if name == "task" else name] = values.split(",")
    found = [
        cell
        for cell in cells
        if all(
            name in cell.point and in_yaml(cell.point[name]) in values
            for name, values in conditions.items()
        )
    ]
    if not conditions or not found:
        raise InputError(f"only: no run of {where} has '{only}'")
    return found


def in_yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
