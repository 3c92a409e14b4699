"""`bench claims`: train what the claims need, measure it, and write the table, figures and page."""

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.claims.catalogue import CLAIMS
from bench.configuration.job import Job
from bench.configuration.parsing import CONFIGS, names, parse_run, read_yaml, resolve
from bench.data.tasks import task_of
from bench.errors import InputError
from bench.records.code import running_code_hash
from bench.records.differences import refuse_mixed_rows
from bench.records.key import key_of
from bench.records.record import checksum, read_record, write_record
from bench.sweep.driver import check_buildable
from bench.sweep.folder import locked
from bench.sweep.matrix import REFERENCES, expand
from bench.sweep.progress import Progress
from bench.sweep.resources import Request, Resources, request_of
from bench.system.files import MIB, read_text, write_atomically
from bench.system.printing import say


@dataclass(frozen=True)
class ClosedFormItem:
    """What needs no run: claims 1, 3 and 4 on models whose evidence is known."""

    task: dict
    seed: int

    @property
    def key(self) -> str:
        return f"closed-form-{key_of(self.task)[:8]}-{self.seed}"

    @property
    def label(self) -> str:
        return f"{'models in closed form':44} seed {self.seed}"


def read_experiments(name: str, results: Path) -> tuple[list, str]:
    """Return everything that configs/claims/<name>.yaml asks to be measured, and the name.

    Raises:
        InputError: A section, claim or matrix that is misspelt, missing or empty.
    """
    if not (CONFIGS / "claims" / f"{name}.yaml").is_file() and not name.endswith(".yaml"):
        raise InputError(f"claims: '{name}' is unknown; known are {', '.join(names('claims'))}")
    path = resolve("claims", name)
    content = read_yaml(path)
    if isinstance(content, dict) and "like" in content:
        content = on_other_data(content, path.name)
    if not isinstance(content, dict) or set(content) != {"images", "closed_form", "experiments"}:
        raise InputError(
            f"{path.name}: the sections are images, closed_form and experiments, or like and data"
        )
    images, closed = content["images"], content["closed_form"]
    if not isinstance(images, int) or images < 10:
        raise InputError(f"{path.name}: images: {images!r} is no number of images, 10 or more")
    if not isinstance(closed, dict) or set(closed) != {"data", "seed"}:
        raise InputError(f"{path.name}: closed_form has the lists data and seed")
    if not isinstance(content["experiments"], dict) or not content["experiments"]:
        raise InputError(f"{path.name}: experiments: no mapping of names to experiments")
    items: dict[str, Any] = {}
    for data in closed["data"]:
        task = read_yaml(resolve("data", str(data)))
        for seed in closed["seed"]:
            item = ClosedFormItem(task, int(seed))
            items[item.key] = item
    for experiment, section in content["experiments"].items():
        for item in items_of(section, f"{path.name}: {experiment}", path.stem, results, images):
            if item.key in items:
                item = merged(items[item.key], item)
            items[item.key] = item
    return list(items.values()), path.stem


def on_other_data(content: dict, where: str) -> Any:
    """Return the experiments of the file that ``content`` is like, on the data that it names instead."""
    renamed = content.get("data")
    if set(content) != {"like", "data"} or not isinstance(renamed, dict):
        raise InputError(f"{where}: beside like stands data, which maps their names to others")
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
        raise InputError(
            f"{where}: data: {', '.join(sorted(set(renamed) - used))} is not in its like"
        )
    return result


def items_of(section: Any, where: str, sweep: str, results: Path, images: int) -> list:
    """Return the runs of one experiment: those of a sweep, or of a matrix of its own."""
    from bench.claims.measure import TrainedItem, is_trained

    claims = section.get("claims") if isinstance(section, dict) else None
    if not isinstance(claims, list) or not claims or not set(claims) <= set(CLAIMS):
        raise InputError(f"{where}: claims is a list of numbers from 1 to {len(CLAIMS)}")
    rest = {name: part for name, part in section.items() if name != "claims"}
    if "sweep" in rest:
        path = resolve("sweep", str(rest.pop("sweep")))
        if rest:
            raise InputError(f"{where}: '{next(iter(rest))}' beside sweep has no meaning")
        rest = read_yaml(path)
    cells = expand(rest, where)
    items = []
    for cell in cells:
        if cell.model in REFERENCES:
            continue
        config = parse_run(list(cell.arguments))
        key = key_of(config)
        directory = results / sweep / "runs" / key
        if not is_trained(directory):
            directory = results / sweep / "claims" / "runs" / key
        job = Job(config, cell.model, sweep, str(directory.absolute()), "disabled")
        items.append(TrainedItem(job, tuple(sorted(claims)), images))
    jobs = [item.job for item in items]
    refuse_mixed_rows(((f"{task_of(j.config).name}, {j.model}", j.config) for j in jobs), where)
    return items


def merged(first, second):
    """Return one item for a run that two experiments have."""
    from dataclasses import replace

    return replace(first, claims=tuple(sorted({*first.claims, *second.claims})))


# A measurement holds curves and images.
LONGEST = 64 * MIB


def measurement_path(directory: Path, key: str) -> Path:
    return directory / "claims" / "measurements" / f"{key}.json"


def write_measurement(directory: Path, item, measurement: dict) -> None:
    content = measurement | identity_of(item)
    content |= {"checksum": checksum(content)}
    write_atomically(
        measurement_path(directory, item.key), json.dumps(content, sort_keys=True, indent=1) + "\n"
    )


def identity_of(item) -> dict:
    """Return what a measurement must have been made of, to be used again: item and code."""
    return {
        "key": item.key,
        "claims": list(getattr(item, "claims", ())),
        "images": getattr(item, "images", 0),
        "code_sha256": running_code_hash("claims"),
    }


def read_measurement(directory: Path, item) -> dict | None:
    """Return a measurement that is whole and of this item and this code, else None."""
    try:
        content = json.loads(read_text(measurement_path(directory, item.key), LONGEST))
        if content["checksum"] != checksum(content):
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return content if identity_of(item).items() <= content.items() else None


def work(item, board) -> dict:
    """Do an item in a worker."""
    import ray

    from bench.sweep.engine import reporter

    report = reporter(item.key, board)
    if isinstance(item, ClosedFormItem):
        from bench.claims.closed_form import measure

        return {"record": None, "measurement": measure(item.task, item.seed, report)}
    from bench.claims.measure import train_and_measure

    gpus = [str(name) for name in ray.get_gpu_ids()]
    return train_and_measure(item, report, gpus)


def claims(name: str, results: Path, address: str | None = None, workers: int | None = None):
    """Do all experiments of a claims file that are not done; write the outcome.

    Args:
        name: Name under configs/claims, or a path to a YAML file.
        results: Folder of all results; trained runs of the sweep of that name in it are used.
        address: Address of a running Ray cluster; None starts one on this machine.
        workers: Largest number of runs at once on this machine; None is one a core.

    Returns:
        The sweep's folder, the table, and the labels of what failed.

    Raises:
        InputError: Anything wrong with the file, a configuration or the data.
    """
    from bench.claims.outcome import write_outcome

    items, sweep = read_experiments(name, results)
    directory = results / sweep
    check_buildable([item.job for item in items if hasattr(item, "job")])
    failed: list[str] = []
    with locked(directory):
        records, measurements = {}, {}
        for item in items:
            measurement = read_measurement(directory, item)
            record = record_of(item)
            if measurement is not None and (record is not None or not hasattr(item, "job")):
                records[item.key], measurements[item.key] = record, measurement
        pending = [item for item in items if item.key not in measurements]
        say(f"claims {sweep}: {len(items)} experiments, {len(measurements)} done before")
        if pending:
            for item, result in do(pending, len(measurements), address, workers):
                if result is None or result["measurement"] is None:
                    failed.append(item.label)
                    continue
                if result["record"] is not None:
                    result["record"].pop("notes", None)
                    write_record(Path(item.job.directory).parent, result["record"])
                write_measurement(directory, item, result["measurement"])
                records[item.key] = result["record"]
                measurements[item.key] = read_measurement(directory, item)
        table = write_outcome(directory, items, records, measurements)
    return directory, table, failed


def record_of(item) -> dict | None:
    """Return the record of an item's run, None if there is none or it is damaged or failed."""
    if not hasattr(item, "job"):
        return None
    try:
        record = read_record(Path(item.job.directory) / "record.json")
    except InputError:
        return None
    return record if record["status"] == "ok" and is_of(record, item.key) else None


def is_of(record: dict, key: str) -> bool:
    """Tell whether the configuration that a record holds is that of its key."""
    try:
        return key_of(record["config"]) == key
    except (LookupError, TypeError, AttributeError):
        return False


def request(item, has_gpus: bool) -> Request:
    """Return what an item is given: what a sweep would give its run, or a core."""
    if not hasattr(item, "job"):
        return Request()
    return request_of(Resources(), item.job.config, has_gpus)


def do(pending: list, cached: int, address: str | None, workers: int | None):
    """Yield (item, result) as they end; result is None where a worker failed."""
    from bench.sweep.restarts import finished_jobs

    by_key = {item.key: item for item in pending}
    with Progress({item.key: item.label for item in pending}, cached, set()) as progress:
        with closing(finished_jobs(pending, request, progress, address, workers, work)) as found:
            for finished in found:
                result = finished.record
                wrong = result is None or result["measurement"] is None
                words = finished.reason or (result["record"]["reason"] if wrong else "")
                progress.finish(finished.key, wrong, words)
                yield by_key[finished.key], result
