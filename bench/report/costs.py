"""timings.csv: what a run took in time, in cores and in energy."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd

from bench.records.columns import COST_COLUMNS
from bench.records.row import Cell
from bench.records.types import COSTS, Environment, TableRecord


def timings_table(records: Sequence[TableRecord]) -> pd.DataFrame:
    """Return timings.csv. It may differ when the same is run again, so no other table has any of it."""
    others = overlapping_runs(records)
    rows: list[dict[str, Cell]] = []
    for record, overlapping in zip(records, others):
        row: dict[str, Cell] = {name: record[name] for name in ("key", "task", "model", "seed")}
        row |= {name: value for name, value in record["timing"].items() if name not in COSTS}
        rows.append(row | costs_of(record) | {"overlapping_runs": overlapping})
    table = pd.DataFrame(rows)
    names = [column.name for column in COST_COLUMNS]
    table = table[[name for name in table.columns if name not in names] + names]
    whole = [column.name for column in COST_COLUMNS if column.type == "integer"]
    return table.astype(dict.fromkeys(whole, "Int64"))


def costs_of(record: TableRecord) -> dict[str, Cell]:
    """Return the columns of a run in timings.csv that are not durations; None where not recorded."""
    environment, timing = record["environment"], record["timing"]
    threads, stacked = environment.get("threads"), environment.get("stacked", 1)
    seconds = timing.get("total_seconds")
    core_hours = None
    if threads is not None and seconds is not None:
        devices = record["config"]["trainer"].get("devices", 1)
        core_hours = threads * devices * seconds / 3600 / stacked
    return {
        "core_hours": core_hours,
        "processor": processor_of(environment),
        "stacked": stacked,
        "cpu_energy_joules": timing.get("cpu_energy_joules"),
        "gpu_energy_joules": timing.get("gpu_energy_joules"),
        "started": date_of(timing.get("started_at")),
        "ended": date_of(timing.get("ended_at")),
    }


def processor_of(environment: Environment) -> str | None:
    """Return the name of the processor that a run computed on; None if it is not known."""
    return environment["gpu"] or environment.get("cpu") or None if "gpu" in environment else None


def date_of(seconds: float | None) -> str | None:
    """Return a time in seconds since 1970 as ISO 8601 in UTC, to the second."""
    if seconds is None:
        return None
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"


def overlapping_runs(records: Sequence[TableRecord]) -> list[int | None]:
    """Return of each run how many others were in progress at some time of it; None if not known."""
    times = [(r["timing"].get("started_at"), r["timing"].get("ended_at")) for r in records]
    starts = sorted(start for start, end in times if start is not None and end is not None)
    ends = sorted(end for start, end in times if start is not None and end is not None)
    # All that have begun by its end, less those that had ended at its start, less itself.
    return [
        None
        if start is None or end is None
        else bisect_right(starts, end) - bisect_left(ends, start) - 1
        for start, end in times
    ]
