"""The runs of a sweep that have no record, and about how long they would take."""

from collections import Counter
from io import StringIO
from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.records.manifest import Recipe, missing_keys, read_manifest, read_recipes
from bench.records.tables import all_runs, parse_runs, read_runs
from bench.system.files import MIB, read_text

# A million runs have 100 MB of times.
LONGEST_TIMINGS = 256 * MIB
TIMES = ["fit_seconds", "total_seconds"]
COLUMNS = ["key", "task", "model", "importance_samples", "epochs", "dimensions", "levels"]


def missing_runs(directory: Path, runs: str, timings: str) -> str | None:
    """Return a sentence on a sweep's runs without a record; None if every run has one.

    The time of a run is estimated by the median of the recorded runs, of all sweeps beside this one,
    of the same model and number of importance samples on the same task; where there is none, on
    another task of as many dimensions and levels. Training counts in proportion to its epochs.

    Args:
        directory: The sweep's folder.
        runs: The text of its runs.csv.
        timings: The text of its timings.csv.
    """
    missing = missing_keys(directory)
    if not missing:
        return None
    recipes = read_recipes(directory)
    timed = timed_runs(directory, parse_runs(runs.encode(), "runs.csv"), timings)
    seconds, sources, unknown = 0.0, set[str](), 0
    for key in missing:
        alike = alike_runs(recipes[key], timed) if key in recipes else timed[:0]
        if alike.empty:
            unknown += 1
            continue
        seconds += float(alike["seconds"].median())
        sources.update(alike["key"])
    words = f"{len(missing)} of {len(read_manifest(directory))} runs are missing"
    if not sources:
        return f"{words}; how long they take is not known."
    words += f": about {in_hours(seconds)} one after another, estimated from the times of "
    words += f"{len(sources)} recorded run{'s' if len(sources) > 1 else ''} of the same models"
    return f"{words}; the time of {unknown} of them is not known." if unknown else f"{words}."


def missing_models(directory: Path) -> list[str]:
    """Return a line for each task and model of a sweep that lacks records: how many it lacks."""
    recipes = read_recipes(directory)
    missing = missing_keys(directory)
    names = Counter((recipes[k]["task"], recipes[k]["model"]) for k in missing if k in recipes)
    lines = [f"{task}, {model}: {_runs(number)}" for (task, model), number in names.items()]
    unknown = len(missing) - sum(names.values())
    return [*lines, *([f"not described in the manifest: {_runs(unknown)}"] if unknown else [])]


def _runs(number: int) -> str:
    return f"{number} run{'s' if number > 1 else ''}"


def timed_runs(directory: Path, runs: pd.DataFrame, timings: str) -> pd.DataFrame:
    """Return the test rows of all sweeps' runs.csv that ended well, with the columns of timings.csv.

    A sweep whose tables cannot be read is left out: it only had to help with an estimate.
    """
    found = [joined(runs, timings)]
    for path in all_runs(directory.parent):
        if path.parent == directory:
            continue
        try:
            own = read_text(path.parent / "timings.csv", LONGEST_TIMINGS)
            found.append(joined(read_runs(path), own))
        except (InputError, OSError, ValueError, KeyError):
            continue
    return pd.concat([table for table in found if len(table)] or found[:1])


def joined(runs: pd.DataFrame, timings: str) -> pd.DataFrame:
    """Return a sweep's test rows with the seconds of training and of all else."""
    # A column is absent where no run got so far.
    times = pd.read_csv(StringIO(timings), dtype=str).reindex(columns=["key", *TIMES])
    times[TIMES] = times[TIMES].apply(pd.to_numeric, errors="coerce")
    is_known = times[TIMES].ge(0).all(axis=1) & times[TIMES].lt(float("inf")).all(axis=1)
    good = runs[(runs["status"] == "ok") & (runs["split"] == "test")]
    return good[COLUMNS].merge(times[is_known], on="key")


def alike_runs(recipe: Recipe, timed: pd.DataFrame) -> pd.DataFrame:
    """Return the recorded runs that are like one that is not there, with the ``seconds`` it takes."""
    # A model with an exact likelihood has no importance samples. EM trains it, whatever the epochs.
    exact = timed["importance_samples"] == 0
    same = timed["importance_samples"] == recipe["importance_samples"]
    alike = timed[(timed["model"] == recipe["model"]) & (same | exact)]
    on_task = alike[alike["task"] == recipe["task"]]
    if on_task.empty:
        sizes = timed[timed["task"] == recipe["task"]][["dimensions", "levels"]].head(1)
        on_task = alike.merge(sizes, on=["dimensions", "levels"])
    trained = (on_task["epochs"] > 0) & (on_task["importance_samples"] > 0)
    share = (recipe["max_epochs"] / on_task["epochs"].where(trained)).fillna(1.0)
    fit = on_task["fit_seconds"]
    return on_task.assign(seconds=on_task["total_seconds"] - fit + fit * share)


def in_hours(seconds: float) -> str:
    """Return a duration as a reader wants it of an estimate."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
