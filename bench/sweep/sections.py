"""Checks of the sections of a sweep's YAML: axes, links, exclusions and overrides."""

import json
from dataclasses import dataclass
from math import prod
from typing import Any

from bench.errors import InputError
from bench.sweep.resources import checked_resources

RANGE = ("from", "to", "step")
# Limits: a year of a large machine, and as many comparisons of runs with conditions as take seconds.
MOST_RUNS, MOST_COMPARISONS = 100_000, 10**8
NAMED_AXES = ("data", "model", "trainer", "evaluation")
# Values are whatever YAML holds: numbers, texts, lists or mappings.
Axes = dict[str, list[Any]]
Point = dict[str, Any]
Condition = dict[str, Any]
Options = dict[str, Any]


@dataclass(frozen=True)
class Override:
    """Options and resources that are set at the points where conditions hold.

    Attributes:
        when: {axis: value or list of values}.
        options: {option: value}.
        resources: {resource: amount}.
    """

    when: Condition
    options: Options
    resources: dict[str, Any]


def check_extent(sweep: dict[str, Any], axes: Axes, linked: list[Axes], where: str) -> None:
    """Raise InputError if a matrix has far too many runs or conditions, before it is expanded."""
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


def checked_links(links: Any, where: str) -> list[Axes]:
    """Return the section ``zip``: groups of axes whose values vary together."""
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
            raise InputError(f"{where}: zip: {', '.join(values)} have a combination twice")
        checked.append(values)
    return checked


def checked_axes(axes: Any, linked: list[Axes], where: str) -> Axes:
    """Return the section ``matrix`` with its ranges expanded; ``linked`` are further axes."""
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
            raise InputError(f"{where}: matrix.{name} has a value twice")
    return ({} if "seed" in names else {"seed": [1]}) | checked


def checked_values(name: Any, values: Any, where: str) -> list[Any]:
    """Return an axis' values, given as a list or as a range {from: …, to: …, step: …} with both ends."""
    if name not in (*NAMED_AXES, "seed") and str(name).split(".")[0] not in NAMED_AXES:
        raise InputError(
            f"{where}.{name} is not an axis; axes are data, model, seed, or an option such "
            "as model.latent_dimensions"
        )
    if isinstance(values, dict):
        values = values_of_range(values, f"{where}.{name}")
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}.{name} is neither a list of values nor a range, or it is empty")
    return values


def values_of_range(given: dict[str, Any], where: str) -> list[int | float]:
    """Return the numbers of a range, both ends included."""
    bounds = {"step": 1} | given
    numbers = [
        bound
        for name in RANGE
        if isinstance(bound := bounds.get(name), (int, float))
        and not isinstance(bound, bool)
        and abs(bound) < 1e12
    ]
    if set(bounds) != set(RANGE) or len(numbers) < len(RANGE):
        raise InputError(f"{where}: a range is {{from: number, to: number, step: number}}")
    first, last, step = numbers
    count = int((last - first) / step + 1e-9) + 1 if step > 0 and last >= first else 0
    if not 0 < count <= 100_000:
        raise InputError(
            f"{where}: a range from {first} to {last} in steps of {step} has no value, or more than "
            "100,000"
        )
    # Rounding makes steps of 0.1 give 0.3 instead of 0.30000000000000004.
    return [
        value if isinstance(value := first + step * i, int) else round(value, 12)
        for i in range(count)
    ]


def checked_condition(condition: Any, axes: Axes, where: str) -> Condition:
    """Return a condition. Raises InputError if it names an axis or value that the matrix lacks."""
    if not isinstance(condition, dict) or not condition:
        raise InputError(f"{where}: a condition is a mapping of axes to values, not {condition!r}")
    for axis, wanted in condition.items():
        if axis not in axes:
            raise InputError(f"{where}: '{axis}' is not an axis of this matrix ({', '.join(axes)})")
        for value in wanted if isinstance(wanted, list) else [wanted]:
            if value not in axes[axis]:
                raise InputError(
                    f"{where}: {axis}: {value!r} is not in the matrix, so it never applies"
                )
    return condition


def checked_exclusions(conditions: Any, axes: Axes, where: str) -> list[Condition]:
    """Return the section ``exclude``."""
    if not isinstance(conditions, list):
        raise InputError(f"{where}: 'exclude' is a list of conditions")
    return [checked_condition(c, axes, f"{where}: exclude") for c in conditions]


def checked_overrides(given: Any, axes: Axes, where: str) -> list[Override]:
    """Return the section ``overrides``."""
    if not isinstance(given, list):
        raise InputError(f"{where}: 'overrides' is a list of {{when: …, set: …}}")
    overrides = []
    for one in given:
        if (
            not isinstance(one, dict)
            or not {"when"} < set(one) <= {"when", "set", "resources"}
            or not isinstance(one.get("set", {}), dict)
        ):
            raise InputError(
                f"{where}: an override is {{when: conditions, set: options, resources: …}}, "
                f"not {one!r}"
            )
        when = checked_condition(one["when"], axes, f"{where}: overrides")
        checked_resources(one.get("resources"), f"{where}: overrides")
        overrides.append(Override(when, one.get("set", {}), one.get("resources") or {}))
    return overrides
