"""The tables of a sweep as they are published, from which their descriptions are made."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from bench.records.columns import leaderboard_columns, runs_columns, timings_columns
from bench.records.run_columns import Column
from bench.records.types import Environment
from bench.system.checkout import date_of

# What the files of a report are.
CONTENTS = {
    "runs.csv": "A row for each run and split",
    "leaderboard.csv": "A row for each task and model: means over seeds with their intervals, ranks",
    "timings.csv": "What each run took: seconds, core-hours, energy where it could be read",
    "leaderboard.tex": "leaderboard.csv as a table for LaTeX (booktabs)",
    "datapackage.json": "Description of the tables as a Data Package (frictionless)",
    "croissant.json": "Description of the tables in Croissant's vocabulary",
}


@dataclass(frozen=True)
class PublishedTables:
    """The tables of a sweep, and where they come from.

    Attributes:
        sweep: The sweep's name.
        runs: runs.csv.
        timings: timings.csv.
        files: {name: content} of the files of its report, without figures and page.
        environments: The distinct environments of its runs.
    """

    sweep: str
    runs: pd.DataFrame
    timings: pd.DataFrame
    files: dict[str, str]
    environments: Sequence[Environment]

    @property
    def columns(self) -> dict[str, list[Column]]:
        """{name of a table: its columns}."""
        return {
            "runs": runs_columns(),
            "leaderboard": leaderboard_columns(),
            "timings": timings_columns(self.timings),
        }

    @property
    def name(self) -> str:
        """The sweep's name with the characters alone that every vocabulary takes in a name."""
        return f"likelihood-bench-{re.sub('[^a-z0-9_-]+', '-', self.sweep.lower())}"

    @property
    def title(self) -> str:
        return f"Likelihood Bench: sweep {self.sweep}"

    @property
    def description(self) -> str:
        models, tasks = self.runs["model"].nunique(), sorted(set(self.runs["task"]))
        return (
            f"Likelihoods of images under {models} generative models on {', '.join(tasks)}, in bits/dim "
            "and nats, with the decomposition of each bound, errors of the likelihoods and intervals over "
            "seeds. Rows of runs and models have the commits of the code and the hash of the data that "
            "they were made with."
        )

    @cached_property
    def date(self) -> str | None:
        """The day on which the last run ended, or for runs without a time that of their commit, in UTC.

        None if neither the records nor the history of this checkout tell.
        """
        timed = self.timings.dropna(subset=["ended"]) if "ended" in self.timings else None
        days = [] if timed is None else [str(time)[:10] for time in timed["ended"]]
        untimed = self.runs if timed is None else self.runs[~self.runs["key"].isin(timed["key"])]
        for commit in untimed["commit"].drop_duplicates():
            day = None if pd.isna(commit) else date_of(str(commit))
            if day is None:
                return None
            days.append(day)
        return max(days)

    def sha256(self, name: str) -> str:
        return hashlib.sha256(self.files[name].encode()).hexdigest()

    def size(self, name: str) -> int:
        """Return the length of a file in bytes."""
        return len(self.files[name].encode())


def described(column: Column) -> str:
    """Return what a column holds, in one text: unit, bound and source included."""
    more = {"Unit": column.unit, "Bound": column.bound, "Source": column.source}
    parts = [column.meaning, *(f"{name}: {text}" for name, text in more.items() if text)]
    return ". ".join(part.rstrip(".") for part in parts) + "."
