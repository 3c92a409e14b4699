"""From records to rows: runs.csv, leaderboard.csv, timings.csv. Reads records only, no PyTorch."""

import hashlib
import json
from concurrent.futures import ProcessPoolExecutor
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from sys import intern

import pandas as pd

from bench.errors import escaped
from bench.records.columns import DIFFERENCE, leaderboard_columns, runs_columns
from bench.records.consistency import check_consistent, check_same_data
from bench.records.differences import differing, options_of
from bench.records.manifest import read_manifest
from bench.records.record import has_record, read_record, record_path
from bench.records.row import METRICS, SPLITS, dirty_of, row_of
from bench.records.schema import is_line
from bench.report.intervals import interval, paired_difference
from bench.report.published import published_value
from bench.system.machine import usable_cores

# From this many records on, starting processes to read them pays.
PARALLEL_FROM = 2_000
CHUNK = 500
# Characters of a name that was too long; its options' hash comes behind them.
LONGEST_NAME = 200
LEFT_OUT = ("history", "images", "latent")
# What fits in a figure.
MOST_MODELS, MOST_SEEDS = 12, 10


def runs_table(records: list[dict], sweep: str) -> pd.DataFrame:
    """Return runs.csv: one row for each run and split, in the records' order."""
    columns: dict[str, list] = {}
    # Column by column: a dictionary for each of very many rows would take several times as much.
    for record in records:
        for split in SPLITS:
            for name, value in row_of(record, sweep, split).items():
                columns.setdefault(name, []).append(value)
    # Types that may be empty.
    types = {"integer": "Int64", "boolean": "boolean"}
    own = {column.name: types[column.type] for column in runs_columns() if column.type in types}
    return pd.DataFrame(columns).astype(own)


def timings_table(records: list[dict]) -> pd.DataFrame:
    """Return timings.csv: seconds, which differ from run to run and therefore stand apart."""
    rows = [
        {"key": r["key"], "task": r["task"], "model": r["model"], "seed": r["seed"]} | r["timing"]
        for r in records
    ]
    return pd.DataFrame(rows)


def leaderboard_table(records: list[dict], sweep: str) -> pd.DataFrame:
    """Return leaderboard.csv: one row for each task and model, ranked by test bits/dim.

    A model whose numbers bound nothing (trained without dequantization) has no place in it.
    """
    groups: dict[tuple[str, str], list[dict]] = {}
    for record in records:
        if record.get("bound") == "none":
            continue
        groups.setdefault((record["task"], record["model"]), []).append(record)
    rows = [leaderboard_row(task, model, group, sweep) for (task, model), group in groups.items()]
    rows.sort(key=lambda row: (row["task"], row["bits_per_dim"] is None, row["bits_per_dim"] or 0))
    rank: dict[str, int] = {}
    best: dict[str, list[dict]] = {}
    for row in rows:
        task, group = row["task"], groups[row["task"], row["model"]]
        rank[task] = rank.get(task, 0) + 1
        row["rank"] = rank[task] if row["bits_per_dim"] is not None else None
        mean, low, high = paired_difference(group, best.setdefault(task, group))
        bound = row.pop("bound")
        row |= {DIFFERENCE: mean, f"{DIFFERENCE}_low": low, f"{DIFFERENCE}_high": high}
        value, source = published_value(sweep, task, row["model"])
        row |= {"bound": bound, "reference": value, "reference_source": source}
    table = pd.DataFrame(rows, columns=[column.name for column in leaderboard_columns()])
    return table.astype({"rank": "Int64", "importance_samples": "Int64"})


def leaderboard_row(task: str, model: str, group: list[dict], sweep: str) -> dict:
    good = [record for record in group if record["status"] == "ok"]
    tests = [row_of(record, sweep, "test") for record in good]
    bounds = {record["bound"] for record in good}
    bound = "upper" if len(bounds) > 1 else next(iter(bounds), None)
    row = {"rank": None, "task": task, "model": model}
    row |= {"seeds": len(good), "failed": len(group) - len(good)}
    for name in METRICS:
        mean, low, high = interval([test[name] for test in tests], bound == "exact")
        row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        if name == "bits_per_dim":
            errors = [test["bits_per_dim_stderr"] for test in tests]
            known = errors and all(error is not None for error in errors)
            # Monte-Carlo errors of different seeds are independent.
            combined = sqrt(sum(e * e for e in errors)) / len(errors) if known else None
            row["bits_per_dim_stderr"] = combined
            row["importance_samples"] = tests[0]["importance_samples"] if tests else None
    return row | {"bound": bound}


def load_sweep(directory: Path) -> list[dict]:
    """Return what tables need of a sweep's records, in its own order.

    Records of runs that the sweep no longer has stay out, and so do curves and images, which only
    figures need and which are most of a record. Many records are read and checked by a process
    for each core that there is to use.

    Raises:
        InputError: There is no sweep, a record is damaged or contradicts itself, or runs of one task
            had other data.
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


def named_apart(records: list[dict]) -> list[dict]:
    """Return slim records, those of one task and model differing in the seed alone.

    Where they differ in more, a model's name tells by which options, so that each configuration
    has a row of its own.
    """
    texts: dict[tuple[str, str], dict[str, str]] = {}
    for record in records:
        texts.setdefault((record["task"], record["model"]), {})[record["config_text"]] = ""
    for own in texts.values():
        if len(own) == 1:
            continue
        options = {text: options_of(json.loads(text)) for text in own}
        names = differing(list(options.values()))
        for text, chosen in options.items():
            own[text] = "".join(f" {name}={chosen[name]}" for name in names if name in chosen)
    for record in records:
        told = texts[record["task"], record["model"]][record["config_text"]]
        record["model"] = in_a_line(record["model"] + told)
    return records


def in_a_line(name: str) -> str:
    """Return a model's name that tables and figures can hold; other names stay others."""
    if is_line(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{escaped(name[:LONGEST_NAME])[:LONGEST_NAME]}… {digest[:8]}"


def slim_records(runs: Path, keys: list[str]) -> list[dict]:
    return [slim(check_consistent(read_record(record_path(runs, key)))) for key in keys]


def slim(record: dict) -> dict:
    """Return what tables need of a record; names are shared, of which every record has a hundred.

    What the page shows of its configuration and its environment is kept as text, of which the
    seeds of a model have one between them.
    """
    kept = {intern(name): part for name, part in record.items() if name not in LEFT_OUT}
    without_seed = {name: part for name, part in record["config"].items() if name != "seed"}
    kept["config_text"] = intern(json.dumps(without_seed, sort_keys=True))
    kept["environment_text"] = intern(json.dumps(record["environment"], sort_keys=True))
    environment = record["environment"]
    kept["environment"] = {"commit": environment.get("commit"), "dirty": dirty_of(environment)}
    kept["config"] = {"trainer": {"beta": record["config"]["trainer"]["beta"]}}
    kept["data"] = {intern(name): part for name, part in record["data"].items()}
    kept["metrics"] = {split: slim_metrics(record, split) for split in SPLITS}
    return kept


def environments_of(records: list[dict]) -> list[dict]:
    """Return the distinct environments that runs were made in, in the records' order."""
    texts = dict.fromkeys(record["environment_text"] for record in records)
    return [json.loads(text) for text in texts]


def slim_metrics(record: dict, split: str) -> dict:
    """Return values alone, but for the two estimates of which tables say more."""
    return {
        intern(name): estimate
        if name in ("bits_per_dim", "log_likelihood")
        else {"value": estimate["value"]}
        for name, estimate in record.get("metrics", {}).get(split, {}).items()
    }


def keys_to_draw(records: list[dict], board: pd.DataFrame) -> list[str]:
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
