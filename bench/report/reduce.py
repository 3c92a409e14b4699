"""Records reduced to tables: runs.csv and leaderboard.csv. Needs no PyTorch."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from sys import intern
from typing import cast

import pandas as pd

from bench.errors import escaped
from bench.records.columns import leaderboard_columns, runs_columns
from bench.records.consistency import check_consistent, check_same_data
from bench.records.differences import OF_A_TRAINING, differing, options_of
from bench.records.manifest import read_manifest
from bench.records.record import has_record, read_record, record_path
from bench.records.row import (
    METRICS,
    Cell,
    Row,
    bits_per_dim_stderr,
    data_hash,
    dirty_of_run,
    estimates_of,
    importance_data,
    importance_samples,
    plugins_text,
    population_stderr,
    row_of,
    values_of,
)
from bench.records.run_columns import DIAGNOSTICS, POPULATION_STDERR
from bench.records.schema import is_line
from bench.records.types import (
    SPLITS,
    DataRecord,
    Environment,
    EstimateRecord,
    Record,
    SlimRecord,
    TableRecord,
)
from bench.report.intervals import interval
from bench.report.published import published_value
from bench.report.ranking import ranked_rows
from bench.settings import Split
from bench.system.machine import usable_cores

# From this many records on, reading them in several processes is faster.
PARALLEL_FROM = 2_000
CHUNK = 500
# Characters that are kept of a longer name; a hash follows them.
LONGEST_NAME = 200
# Parts of a record that only figures and the page need.
LEFT_OUT = ("history", "images", "latent", "evaluated_with")
# What fits in a figure.
MOST_MODELS, MOST_SEEDS = 12, 10


def runs_table(records: Sequence[TableRecord], sweep: str) -> pd.DataFrame:
    """Return runs.csv: one row for each run and split, in the records' order."""
    columns: dict[str, list[Cell]] = {}
    # Column by column: a dictionary for each of very many rows would take several times the memory.
    for record in records:
        for split in SPLITS:
            for name, value in row_of(record, sweep, split).items():
                columns.setdefault(name, []).append(value)
    # pandas' types whose cells may be empty.
    types = {"integer": "Int64", "boolean": "boolean"}
    own = {column.name: types[column.type] for column in runs_columns() if column.type in types}
    return pd.DataFrame(columns).astype(own)


def leaderboard_table(records: Sequence[TableRecord], sweep: str) -> pd.DataFrame:
    """Return leaderboard.csv: one row for each task and model, ranked by test bits/dim.

    It leaves out models whose numbers bound nothing (trained without dequantization).
    """
    tasks: dict[str, dict[str, list[TableRecord]]] = {}
    for record in records:
        if record.get("bound") != "none":
            groups = tasks.setdefault(record["task"], {})
            groups.setdefault(record["model"], []).append(record)
    ranked = []
    for task in sorted(tasks):
        groups = tasks[task]
        rows = {model: leaderboard_row(task, model, group) for model, group in groups.items()}
        for row in ranked_rows(rows, groups):
            row["reference"], row["reference_source"] = published_value(
                sweep, task, str(row["model"])
            )
            ranked.append(row)
    table = pd.DataFrame(ranked, columns=[column.name for column in leaderboard_columns()])
    whole = [column.name for column in leaderboard_columns() if column.type == "integer"]
    return table.astype(dict.fromkeys(whole, "Int64"))


def leaderboard_row(task: str, model: str, group: Sequence[TableRecord]) -> Row:
    """Return what a row of leaderboard.csv says of its own runs, without rank and comparison."""
    good = [record for record in group if record["status"] == "ok"]
    values = [values_of(record, "test") for record in good]
    bounds = {record["bound"] for record in good}
    bound = "upper" if len(bounds) > 1 else next(iter(bounds), None)
    row: Row = {"task": task, "model": model, "bound": bound}
    row |= {"seeds": len(good), "failed": len(group) - len(good)}
    row["survivors_only"] = len(good) < len(group)
    row["plugin"] = plugins_text(group[0]["config"])  # runs of a row differ in the seed alone
    for name in METRICS:
        mean, low, high = interval([own[name] for own in values], bound == "exact")
        row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    errors = [bits_per_dim_stderr(record, "test") for record in good]
    known = [error for error in errors if error is not None]
    # Monte-Carlo errors of different seeds are independent.
    is_known = errors and len(known) == len(errors)
    row["bits_per_dim_stderr"] = sqrt(sum(e * e for e in known)) / len(known) if is_known else None
    row["importance_samples"] = the_one({importance_samples(record, "test") for record in good})
    row["importance_data"] = the_one({importance_data(record, "test") for record in good})
    # Exact numbers have no weights to diagnose.
    has_weights = bound != "exact"
    row["diagnosed_seeds"] = (
        sum(own[DIAGNOSTICS[0]] is not None for own in values) if has_weights else None
    )
    # The seeds share the images: the error of their mean is at most the mean of their errors.
    spreads = [population_stderr(record, "test") for record in good]
    measured = [spread for spread in spreads if spread is not None]
    is_measured = spreads and len(measured) == len(spreads)
    row[POPULATION_STDERR.name] = sum(measured) / len(measured) if is_measured else None
    row["commit"] = words_of({record["environment"].get("commit") for record in good})
    row["data_sha256"] = words_of({data_hash(record["data"]) for record in good})
    return row


def the_one(values: set[int | None]) -> int | None:
    """Return what all seeds have in common; None where they differ, or where there are none."""
    return next(iter(values)) if len(values) == 1 else None


def words_of(texts: set[str | None]) -> str | None:
    """Return the texts that are known, in order and with spaces between them; None if none is."""
    return " ".join(sorted(text for text in texts if text)) or None


def load_sweep(directory: Path) -> list[SlimRecord]:
    """Return what tables need of a sweep's records, in the order of its manifest.

    Records that the manifest does not name are left out. So are curves and images, which are most
    of a record and which only figures need. Many records are read and checked in parallel, by one
    process for each usable core.

    Raises:
        InputError: There is no sweep, a record is damaged or contradicts itself, or runs of one task
            used different data.
    """
    runs = directory / "runs"
    keys = [key for key in read_manifest(directory) if has_record(runs, key)]
    if len(keys) < PARALLEL_FROM:
        records = slim_records(runs, keys)
    else:
        chunks = [keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK)]
        with ProcessPoolExecutor(usable_cores(), get_context("spawn")) as pool:
            parts = pool.map(slim_records, [runs] * len(chunks), chunks)
            records = [record for part in parts for record in part]
    check_same_data(records)
    return named_apart(records)


def named_apart(records: list[SlimRecord]) -> list[SlimRecord]:
    """Return records in which runs of one task and model differ in the seed alone.

    Where they differ in more, the model's name gets the options in which they differ, so that each
    configuration has a row of its own.
    """
    suffixes: dict[tuple[str, str], dict[str, str]] = {}
    for record in records:
        name = record["task"], record["model"]
        suffixes.setdefault(name, {})[record["config_text"]] = ""
    for own in suffixes.values():
        if len(own) == 1:
            continue
        options = {text: options_of(json.loads(text)) for text in own}
        names = differing(list(options.values()))
        for text, chosen in options.items():
            own[text] = "".join(f" {name}={chosen[name]}" for name in names if name in chosen)
    for record in records:
        suffix = suffixes[record["task"], record["model"]][record["config_text"]]
        record["model"] = in_a_line(record["model"] + suffix)
    return records


def in_a_line(name: str) -> str:
    """Return a model's name that fits in tables and figures; different names stay different."""
    if is_line(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{escaped(name[:LONGEST_NAME])[:LONGEST_NAME]}… {digest[:8]}"


def slim_records(runs: Path, keys: list[str]) -> list[SlimRecord]:
    return [slim(check_consistent(read_record(record_path(runs, key)))) for key in keys]


def slim(record: Record) -> SlimRecord:
    """Return what tables and the page need of a record, with strings shared between records.

    Every record has about a hundred names. Configuration and environment, which the page shows, are
    kept as text: the seeds of a model share one.
    """
    # The checker does not follow a dictionary that is made key by key.
    kept = cast(
        SlimRecord, {intern(name): part for name, part in record.items() if name not in LEFT_OUT}
    )
    without_seed = {
        name: part for name, part in record["config"].items() if name not in OF_A_TRAINING
    }
    kept["config_text"] = intern(json.dumps(without_seed, sort_keys=True))
    kept["environment_text"] = intern(json.dumps(record["environment"], sort_keys=True))
    environment = record["environment"]
    kept["environment"] = {"commit": environment.get("commit"), "dirty": dirty_of_run(record)}
    if "gpu" in environment:
        kept["environment"]["gpu"] = intern(gpu) if (gpu := environment["gpu"]) else None
    if cpu := environment.get("cpu"):
        kept["environment"]["cpu"] = intern(cpu)
    if "threads" in environment:
        kept["environment"]["threads"] = environment["threads"]
    if "stacked" in environment:
        kept["environment"]["stacked"] = environment["stacked"]
    trainer = record["config"]["trainer"]
    kept["config"] = {"trainer": {"beta": trainer["beta"], "devices": trainer.get("devices", 1)}}
    if "plugins" in record["config"]:
        kept["config"]["plugins"] = record["config"]["plugins"]
    kept["data"] = cast(DataRecord, {intern(name): part for name, part in record["data"].items()})
    kept["metrics"] = {split: slim_estimates(record, split) for split in SPLITS}
    return kept


def environments_of(records: Sequence[SlimRecord]) -> list[Environment]:
    """Return the distinct environments of the runs, in the records' order."""
    texts = dict.fromkeys(record["environment_text"] for record in records)
    return [json.loads(text) for text in texts]


def slim_estimates(record: Record, split: Split) -> dict[str, EstimateRecord]:
    """Return the values of a run's estimates, and the three estimates of which tables say more."""
    return {
        intern(name): estimate
        if name in ("bits_per_dim", "log_likelihood", "bound_rise")
        else {"value": estimate["value"]}
        for name, estimate in estimates_of(record, split).items()
    }


def keys_to_draw(records: Sequence[TableRecord], board: pd.DataFrame) -> list[str]:
    """Return the keys of the runs that figures show: a few seeds of each task's best models."""
    best = board.groupby("task").head(MOST_MODELS)
    left = {row: MOST_SEEDS for row in zip(best["task"], best["model"])}
    shown = []
    for record in records:
        row = record["task"], record["model"]
        if record["status"] == "ok" and left.get(row, 0):
            left[row] -= 1
            shown.append(record["key"])
    return shown
