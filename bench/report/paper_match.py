"""paper_match.csv: our rows compared with published numbers, by tolerances fixed beforehand."""

from math import isnan
from pathlib import Path

import pandas as pd

from bench.records.tables import all_runs, read_runs
from bench.report.intervals import interval
from bench.report.published import Published, published
from bench.system.printing import number


def follows_a_paper(sweep: str) -> bool:
    """Tell whether this sweep runs the recipe of a published number."""
    return any(entry.sweep == sweep for entry in published())


def paper_match_of(results: Path, own: Path, runs: pd.DataFrame) -> pd.DataFrame:
    """Return paper_match.csv for all sweeps of a folder of results; empty if none follows a paper.

    Args:
        results: The folder.
        own: The path of the runs.csv that is about to be written.
        runs: Its content.

    Raises:
        InputError: A runs.csv of another sweep cannot be read.
    """
    paths = sorted({*all_runs(results), own})
    return paper_match(pd.concat([runs if path == own else read_runs(path) for path in paths]))


def paper_match(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each published number whose recipe is among ``runs``, rows of runs.csv.

    ``difference`` is ours minus theirs. ``verdict`` is match where the difference is within the
    tolerance; else better or worse; or different, for a column that has no better direction.
    """
    good = runs[runs["status"] == "ok"]
    rows = []
    for entry in published():
        own = good[
            (good["sweep"] == entry.sweep)
            & (good["task"] == entry.task)
            & (good["model"] == entry.model)
            & (good["split"] == entry.split)
        ].drop_duplicates("key")
        mean, low, high = interval(own[entry.column], False)
        if mean is not None:
            rows.append(comparison(entry, own, mean, low, high))
    return pd.DataFrame(rows)


def comparison(
    entry: Published, own: pd.DataFrame, mean: float, low: float | None, high: float | None
) -> dict[str, object]:
    """Return the row of paper_match.csv for a published number, our runs and our interval."""
    difference = mean - entry.value
    return {
        "sweep": entry.sweep,
        "task": entry.task,
        "model": entry.model,
        "column": entry.column,
        "split": entry.split,
        "unit": entry.unit,
        "ours": mean,
        "ours_low": low,
        "ours_high": high,
        "seeds": len(own),
        "importance_samples": own["importance_samples"].iloc[0],
        "epochs": own["epochs"].max(),
        "theirs": entry.value,
        "theirs_spread": entry.spread,
        "difference": difference,
        "tolerance": entry.tolerance,
        "verdict": verdict(entry, difference),
        "differs": entry.differs,
        "source": entry.source,
        "how": entry.how,
        "commit": " ".join(sorted(set(own["commit"].dropna().astype(str)))),
    }


def paper_match_markdown(table: pd.DataFrame) -> str:
    """Return the table in Markdown: means with the half width of their 95 % interval over seeds.

    K is the number of samples of L_K, in rows of a likelihood.
    """
    names = ["task", "model", "", "epochs", "K", "seeds", "ours", "published", "verdict", "source"]
    lines = ["| " + " | ".join(names) + " |", "|---|---|---|" + "---:|" * 5 + "---|---|"]
    for _, row in table.iterrows():
        digits = 2 if row["unit"] == "nats" else 3 if row["unit"] == "bits/dim" else 1
        low, samples = row["ours_low"], row["importance_samples"]
        is_likelihood = row["column"] in ("log_likelihood", "bits_per_dim")
        cells = [
            f"{row['task']}, {row['split']}",
            row["model"],
            f"{row['column']}, {row['unit']}",
            f"{row['epochs']:.0f}",
            f"{samples:.0f}" if is_likelihood else "",
            str(row["seeds"]),
            with_half(row["ours"], None if pd.isna(low) else row["ours"] - low, digits),
            with_half(row["theirs"], row["theirs_spread"], digits),
            row["verdict"],
            row["source"] + (" (recalled)" if row["how"] == "recalled" else ""),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def with_half(value: float, half: float | None, digits: int) -> str:
    """Return a mean and the half width of its interval as text; an unknown width is None or NaN."""
    if half is None or isnan(half):
        return number(value, digits)
    return f"{number(value, digits)} ± {number(half, digits)}"


# 1 where more is better, -1 where less is; other columns have no better direction.
SIGN = {"log_likelihood": 1, "elbo": 1, "bits_per_dim": -1}


def verdict(entry: Published, difference: float) -> str:
    if abs(difference) <= entry.tolerance:
        return "match"
    sign = SIGN.get(entry.column, 0) * difference
    return "better" if sign > 0 else "worse" if sign < 0 else "different"
