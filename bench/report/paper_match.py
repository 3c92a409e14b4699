"""paper_match.csv: our rows held against published numbers, with a tolerance fixed beforehand."""

from pathlib import Path

import pandas as pd

from bench.record import write_atomically
from bench.report.intervals import interval
from bench.report.published import Published, published
from bench.report.rows import all_runs, read_runs


def follows_a_paper(sweep: str) -> bool:
    """Tell whether a published number has its recipe in this sweep."""
    return any(entry.sweep == sweep for entry in published())


def write_paper_match(results: Path) -> pd.DataFrame:
    """Write paper_match.csv for all sweeps of a folder of results; nothing if none follows a paper.

    Returns:
        The table: a row for each published number whose recipe was run, in the order of the list.
    """
    tables = [read_runs(path) for path in all_runs(results)]
    table = paper_match(pd.concat(tables)) if tables else pd.DataFrame()
    if len(table):
        text = table.to_csv(index=False, lineterminator="\n")
        write_atomically(results / "paper_match.csv", text)
    return table


def paper_match(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows for the published numbers that ``runs``, rows of runs.csv, have recipes of.

    difference is ours less theirs; the verdict is match where it is inside the tolerance, else
    better or worse, where that can be said, or different.
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
        if not own[entry.column].dropna().empty:
            rows.append(row_of(entry, own))
    return pd.DataFrame(rows)


def row_of(entry: Published, own: pd.DataFrame) -> dict:
    mean, low, high = interval(list(own[entry.column]), False)
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
    """Return the table for people: means with the half width of their 95 % interval over seeds.

    K is the number of samples of the bound L_K, where the row is one.
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
    return f"{value:.{digits}f}" + ("" if pd.isna(half) else f" ± {half:.{digits}f}")


# Columns of which more, or less, is better; of the others a number is only another one.
SIGN = {"log_likelihood": 1, "elbo": 1, "bits_per_dim": -1}


def verdict(entry: Published, difference: float) -> str:
    if abs(difference) <= entry.tolerance:
        return "match"
    sign = SIGN.get(entry.column, 0) * difference
    return "better" if sign > 0 else "worse" if sign < 0 else "different"
