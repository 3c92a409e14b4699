"""`bench claims`: train what the claims need, measure it, and write the table, figures and page."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bench.claims.experiments import read_experiments
from bench.claims.items import ClosedFormItem, Item, TrainedItem
from bench.claims.measurements import Measurement, Outcome, read_measurement, write_measurement
from bench.errors import InputError
from bench.records.key import key_of
from bench.records.record import read_record, record_path, write_record
from bench.records.types import Record
from bench.sweep.driver import check_buildable
from bench.sweep.folder import locked
from bench.sweep.progress import SweepProgress
from bench.sweep.reachable import refuse_no_ray
from bench.sweep.resources import Request, Resources, request_of
from bench.system.devices import unusable_gpus
from bench.system.printing import say

if TYPE_CHECKING:
    import pandas as pd

    from bench.sweep.jobs import Assigned, Finished


def claims(
    name: str, results: Path, address: str | None = None, workers: int | None = None
) -> tuple[Path, "pd.DataFrame", list[str]]:
    """Measure every item of a claims file that is not measured yet; write the outcome.

    Args:
        name: Name under configs/claims, or a path to a YAML file.
        results: Folder of all results; trained runs of the sweep of that name in it are used.
        address: Address of a running Ray cluster; None starts one on this machine.
        workers: Largest number of runs at once on this machine; None is as many as fit, and 0 does
            them in this process, one after another.

    Returns:
        The sweep's folder, the table, and the labels of the items that failed.

    Raises:
        InputError: Anything wrong with the file, a configuration or the data.
    """
    from bench.claims.outcome import write_outcome

    if workers != 0:
        refuse_no_ray()
    items, sweep = read_experiments(name, results)
    directory = results / sweep
    check_buildable([item.job for item in items if isinstance(item, TrainedItem)])
    if address is None and (line := unusable_gpus()):
        say(line)
    with locked(directory):
        done = Done(directory)
        for item in items:
            done.read(item)
        pending = [item for item in items if item.key not in done.measurements]
        say(f"claims {sweep}: {len(items)} experiments, {len(done.measurements)} done before")
        failed = measure_pending(pending, done, address, workers) if pending else []
        table = write_outcome(directory, items, done.records, done.measurements)
    return directory, table, failed


@dataclass(frozen=True)
class Done:
    """The records and measurements of the items that are measured, by key.

    Attributes:
        directory: The sweep's folder, which holds them too.
        records: Records of trained runs; models in closed form have none.
        measurements: Measurements of all.
    """

    directory: Path
    records: dict[str, Record] = field(default_factory=dict)
    measurements: dict[str, Measurement] = field(default_factory=dict)

    def read(self, item: Item) -> None:
        """Take an item's record and measurement from the folder, if it is measured."""
        measurement = read_measurement(self.directory, item)
        if measurement is None:
            return
        if isinstance(item, TrainedItem):
            record = record_of(item)
            if record is None:
                return
            self.records[item.key] = record
        self.measurements[item.key] = measurement

    def add(self, item: Item, record: Record | None, measurement: Measurement) -> None:
        """Take what a worker returned of an item, and write it into the folder."""
        if isinstance(item, TrainedItem) and record is not None:
            record.pop("notes", None)
            write_record(Path(item.job.directory).parent, record)
            self.records[item.key] = record
        self.measurements[item.key] = write_measurement(self.directory, item, measurement)


def measure_pending(
    pending: list[Item], done: Done, address: str | None, workers: int | None
) -> list[str]:
    """Measure items on the engine and add them to ``done``; return the labels of those that failed."""
    from bench.sweep.jobs import Work
    from bench.sweep.loop import do_jobs

    by_key, failed = {item.key: item for item in pending}, []
    labels = {item.key: item.label for item in pending}
    with SweepProgress(labels, len(done.measurements), set()) as progress:

        def settle(finished: "Finished") -> None:
            # Finished is typed for a sweep's runs; here it holds what ``execute`` returned.
            outcome = cast(Outcome | None, finished.record)
            item, reason = by_key[finished.key], finished.reason
            record = outcome["record"] if outcome else None
            measurement = outcome["measurement"] if outcome else None
            if measurement is not None:
                done.add(item, record, measurement)
            else:
                failed.append(item.label)
                reason = record["reason"] if record else reason
            progress.finish(finished.key, measurement is None, reason)

        do_jobs(pending, Work(request, settle, execute), progress, address, workers)
    return failed


def record_of(item: TrainedItem) -> Record | None:
    """Return the record of an item's run; None if there is none, or it is damaged or failed."""
    try:
        record = read_record(record_path(Path(item.job.directory).parent, item.key))
    except InputError:
        return None
    return record if record["status"] == "ok" and has_key(record, item.key) else None


def has_key(record: Record, key: str) -> bool:
    """Tell whether a key is that of the configuration in a record."""
    try:
        return key_of(record["config"]) == key
    except (LookupError, TypeError, AttributeError):
        return False


def request(item: Item, has_gpus: bool) -> Request:
    """Return an item's resources: those of a sweep's run, or one core for models in closed form."""
    if isinstance(item, ClosedFormItem):
        return Request()
    return request_of(Resources(), item.job.config, has_gpus)


def execute(item: Item, assigned: "Assigned") -> Outcome:
    """Do an item in a worker."""
    progress = assigned.progress_of(item.key)
    if isinstance(item, ClosedFormItem):
        from bench.claims.closed_form import measure

        return {"record": None, "measurement": measure(item.task, item.seed, progress)}
    from bench.claims.measure import train_and_measure

    # A run that was trained before is measured without ``run``, which loads them otherwise.
    item.job.load_outside()
    return train_and_measure(item, progress, assigned.gpus)
