"""From a file under configs/claims to the items that it asks to be measured."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.claims.catalogue import CLAIMS
from bench.claims.items import ClosedFormItem, Item, TrainedItem
from bench.configuration.files import CONFIGS, names, resolve
from bench.configuration.job import Job
from bench.configuration.parsing import SeedParser
from bench.data.tasks import task_of
from bench.errors import InputError
from bench.records.differences import refuse_mixed_rows
from bench.records.key import key_of
from bench.records.types import REFERENCES
from bench.sweep.matrix import expand
from bench.system.yaml_text import read_yaml

LEAST_IMAGES = 10


def read_experiments(name: str, results: Path) -> tuple[list[Item], str]:
    """Return all items of configs/claims/<name>.yaml, and the name of the sweep.

    Args:
        name: Name under configs/claims, or a path to a YAML file.
        results: Folder of all results; runs that the sweep of that name trained are used again.

    Raises:
        InputError: A section, claim or matrix that is misspelt, missing or empty.
    """
    if not (CONFIGS / "claims" / f"{name}.yaml").is_file() and not name.endswith(".yaml"):
        raise InputError(f"claims: '{name}' is unknown; known: {', '.join(names('claims'))}")
    path = resolve("claims", name)
    content = read_yaml(path)
    if isinstance(content, dict) and "like" in content:
        content = on_other_data(content, path.name)
    check_sections(content, path.name)
    closed: dict[str, ClosedFormItem] = {}
    for data in content["closed_form"]["data"]:
        task = read_yaml(resolve("data", str(data)))
        if not isinstance(task, dict) or "dataset" not in task:
            raise InputError(f"{path.name}: closed_form: '{data}' is not a task of the benchmark")
        for seed in content["closed_form"]["seed"]:
            item = ClosedFormItem(task, seed)
            closed[item.key] = item
    trained: dict[str, TrainedItem] = {}
    for experiment, section in content["experiments"].items():
        where = f"{path.name}: {experiment}"
        for run in items_of(section, where, path.stem, results, content["images"]):
            trained[run.key] = merged(trained[run.key], run) if run.key in trained else run
    return [*closed.values(), *trained.values()], path.stem


def check_sections(content: Any, where: str) -> None:
    """Raise InputError unless the content of a claims file has its three sections."""
    if not isinstance(content, dict) or set(content) != {"images", "closed_form", "experiments"}:
        raise InputError(
            f"{where}: the sections are images, closed_form and experiments, or like and data"
        )
    images, closed, experiments = (
        content[name] for name in ("images", "closed_form", "experiments")
    )
    if not isinstance(images, int) or images < LEAST_IMAGES:
        raise InputError(
            f"{where}: images: {images!r} is not a whole number of {LEAST_IMAGES} or more"
        )
    is_pair = isinstance(closed, dict) and set(closed) == {"data", "seed"}
    if not is_pair or not all(isinstance(part, list) for part in closed.values()):
        raise InputError(f"{where}: closed_form needs two lists, data and seed")
    for seed in closed["seed"]:
        if not isinstance(seed, int):
            raise InputError(f"{where}: closed_form: seed: {seed!r} is not a whole number")
    if not isinstance(experiments, dict) or not experiments:
        raise InputError(f"{where}: experiments must map names to experiments, one or more")


def on_other_data(content: dict[str, Any], where: str) -> Any:
    """Return the experiments of the file named by ``like``, with its tasks replaced as ``data`` says."""
    renamed = content.get("data")
    if set(content) != {"like", "data"} or not isinstance(renamed, dict):
        raise InputError(
            f"{where}: like needs data, a mapping from names of tasks in that file to others, and "
            "no other section"
        )
    other = read_yaml(resolve("claims", str(content["like"])))
    used = set()

    def replaced(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: replaced(value) for name, value in part.items()}
        if isinstance(part, list):
            return [replaced(value) for value in part]
        if isinstance(part, str) and part in renamed:
            used.add(part)
            return renamed[part]
        return part

    result = replaced(other)
    if used != set(renamed):
        missing = ", ".join(sorted(set(renamed) - used))
        raise InputError(f"{where}: data: {missing} does not occur in the file named by like")
    return result


def items_of(section: Any, where: str, sweep: str, results: Path, images: int) -> list[TrainedItem]:
    """Return the runs of one experiment: those of a sweep, or of the experiment's own matrix."""
    from bench.claims.measure import is_trained

    claims = section.get("claims") if isinstance(section, dict) else None
    if not isinstance(claims, list) or not claims or not all(map(is_claim, claims)):
        raise InputError(f"{where}: claims must be a list of numbers from 1 to {len(CLAIMS)}")
    rest = {name: part for name, part in section.items() if name != "claims"}
    if "sweep" in rest:
        path = resolve("sweep", str(rest.pop("sweep")))
        if rest:
            raise InputError(f"{where}: '{next(iter(rest))}' is not allowed beside sweep")
        rest = read_yaml(path)
    items, parser = [], SeedParser()
    for cell in expand(rest, where):
        if cell.model in REFERENCES:
            continue
        config = parser.parse(cell.arguments)
        key = key_of(config)
        directory = results / sweep / "runs" / key
        if not is_trained(directory):
            directory = results / sweep / "claims" / "runs" / key
        job = Job(config, cell.model, sweep, str(directory.absolute()), "disabled")
        items.append(TrainedItem(job, tuple(sorted(claims)), images))
    jobs = [item.job for item in items]
    refuse_mixed_rows(((f"{task_of(j.config).name}, {j.model}", j.config) for j in jobs), where)
    return items


def is_claim(number: Any) -> bool:
    return isinstance(number, int) and number in CLAIMS


def merged(first: TrainedItem, second: TrainedItem) -> TrainedItem:
    """Return the item of a run that two experiments share, measured for the claims of both."""
    return replace(first, claims=tuple(sorted({*first.claims, *second.claims})))
