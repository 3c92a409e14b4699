"""paper_match.csv: our rows compared with published numbers, by margins."""

from math import ceil, hypot, isfinite, isnan, log2
from pathlib import Path
from statistics import stdev
from string import ascii_lowercase

import pandas as pd

from bench.records.row import samples_text
from bench.records.tables import all_runs, read_runs
from bench.report.equivalence import (
    NOT_DECIDED,
    difference_interval,
    seeds_to_decide,
    verdict_of,
)
from bench.report.intervals import interval
from bench.report.published import Published, before_runs, draws_stderr, published
from bench.system.printing import number

NOT_COMPARABLE = "not comparable"


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

    Numbers without a run have no row. ``difference`` is ours minus theirs, with a 95 % interval of
    our seeds, of what their table has behind ±, which is taken for a standard error, and where it
    was measured of the draws of binarized test images.
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
        finite = own[[value is not None and isfinite(value) for value in own[entry.column]]]
        if len(finite):
            rows.append(comparison(entry, finite))
    table = pd.DataFrame(rows)
    return table.astype({"seeds_to_decide": "Int64"}) if rows else table


def comparison(entry: Published, own: pd.DataFrame) -> dict[str, object]:
    """Return the row of paper_match.csv for a published number and the rows of our runs."""
    values = own[entry.column].astype(float).tolist()
    mean, low, high = interval(values, False)
    commits = sorted(set(own["commit"].dropna().astype(str)))
    margin_fixed = entry.margin_fixed
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
        **judgement(entry, own, values),
        "reference_fixed": entry.reference_fixed.isoformat(),
        "reference_before_run": before_runs(entry.reference_fixed, commits),
        "margin_fixed": margin_fixed.isoformat() if margin_fixed else None,
        "margin_before_run": before_runs(margin_fixed, commits) if margin_fixed else None,
        "differs": entry.differs,
        "source": entry.source,
        "how": entry.how,
        "commit": " ".join(commits),
    }


def judgement(entry: Published, own: pd.DataFrame, values: list[float]) -> dict[str, object]:
    """Return the cells of a row that say how far ours is from theirs and what follows from it."""
    draws = draws_stderr(entry.task, entry.column, entry.split)
    error = hypot(entry.spread or 0.0, draws or 0.0)
    difference, low, high = difference_interval(values, entry.value, error)
    assert difference is not None
    why = entry.not_comparable or other_samples(entry, own)
    verdict, needed = NOT_COMPARABLE, None
    if why is None:
        assert entry.margin is not None
        verdict = verdict_of(low, high, entry.margin)
        if verdict == NOT_DECIDED and len(values) > 1:
            needed = seeds_to_decide(difference, stdev(values), error, entry.margin)
    return {
        "difference": difference,
        "difference_low": low,
        "difference_high": high,
        "draws_stderr": draws,
        "margin": entry.margin,
        "effect": entry.effect,
        "effect_of": entry.effect_of,
        "verdict": verdict,
        "seeds_to_decide": needed,
        "reason": why or entry.reason,
    }


def other_samples(entry: Published, own: pd.DataFrame) -> str | None:
    """Return why our L_K is no number to compare with a published one of another K; None if it is.

    Each doubling of K is taken to raise the bound by no more than the one before: the last rise
    times the number of doublings is then what ours lacks at most. A tenth of the margin is let pass.
    """
    samples = int(own["importance_samples"].min())
    if entry.samples is None or samples in (0, entry.samples):
        return None
    words = f"L_{samples} against L_{entry.samples}"
    if samples > entry.samples:
        return f"{words}: ours is the tighter bound"
    rises = own["bound_rise"].astype(float)
    if rises.isna().any():
        return f"{words}; how much the bound still rises was not measured"
    assert entry.margin is not None
    doublings = ceil(log2(entry.samples / samples))
    if (lacks := doublings * float(rises.max())) > entry.margin / 10:
        return f"{words}; up to {number(lacks, 2)} {entry.unit} lie between them"
    return None


def paper_match_markdown(table: pd.DataFrame) -> str:
    """Return the table in Markdown: means with the half width of their 95 % interval over seeds.

    K is the number of samples of L_K, in rows of a likelihood. Sources are numbers, and letters tell what was
    fixed before the runs; both are listed below the table.
    """
    names = ["task", "model", "", "epochs", "seeds", "ours", "published", "ours − published"]
    names += ["δ", "verdict", "source"]
    lines = ["| " + " | ".join(names) + " |", "|---|---|---|" + "---:|" * 6 + "---|---|"]
    numbers: dict[str, str] = {}
    letters: dict[str, str] = {}
    for _, row in table.iterrows():
        digits = 2 if row["unit"] == "nats" else 3 if row["unit"] == "bits/dim" else 1
        low = row["ours_low"]
        cells = [
            f"{row['task']}, {row['split']}",
            row["model"],
            quantity_of(row),
            f"{row['epochs']:.0f}",
            str(row["seeds"]),
            with_half(row["ours"], None if pd.isna(low) else row["ours"] - low, digits),
            with_half(row["theirs"], row["theirs_spread"], digits),
            with_interval(row, digits),
            "" if pd.isna(row["margin"]) else number(row["margin"], digits),
            in_words(row),
            numbers.setdefault(source_of(row), str(len(numbers) + 1))
            + letters.setdefault(fixed_before(row), ascii_lowercase[len(letters)]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    sources = "; ".join(f"{place}: {source}" for source, place in numbers.items())
    fixed = "; ".join(f"{letter}: {words}" for words, letter in letters.items())
    return "\n".join([*lines, "", f"Sources: {sources}. Fixed before the runs: {fixed}."])


def quantity_of(row: pd.Series) -> str:
    """Return the column, the K of a likelihood, and the unit."""
    is_likelihood = row["column"] in ("log_likelihood", "bits_per_dim")
    samples = [samples_text([row["importance_samples"]])] if is_likelihood else []
    return ", ".join([row["column"], *samples, row["unit"]])


def source_of(row: pd.Series) -> str:
    return str(row["source"]) + ("" if row["how"] == "read" else f" ({row['how']})")


def with_half(value: float, half: float | None, digits: int) -> str:
    """Return a mean and the half width of its interval as text; an unknown width is None or NaN."""
    if half is None or isnan(half):
        return number(value, digits)
    return f"{number(value, digits)} ± {number(half, digits)}"


def with_interval(row: pd.Series, digits: int) -> str:
    """Return the difference of a row of paper_match.csv with the ends of its interval."""
    text = number(row["difference"], digits)
    if pd.isna(row["difference_low"]):
        return text
    ends = [number(row[f"difference_{end}"], digits) for end in ("low", "high")]
    return f"{text} [{ends[0]}, {ends[1]}]"


def in_words(row: pd.Series) -> str:
    """Return the verdict of a row of paper_match.csv for readers."""
    if row["verdict"] == NOT_COMPARABLE:
        return NOT_COMPARABLE
    if row["verdict"] != NOT_DECIDED:
        side = (
            "below" if row["difference_high"] < 0 else "above" if row["difference_low"] > 0 else ""
        )
        return f"{row['verdict']}, {side}" if side else row["verdict"]
    if row["seeds"] == 1:
        return f"{NOT_DECIDED}: one seed"
    needed = row["seeds_to_decide"]
    number_of = "no number of" if pd.isna(needed) else f"{needed:.0f}"
    return f"{NOT_DECIDED}; {number_of} seeds would at this mean and spread"


def fixed_before(row: pd.Series) -> str:
    """Return for readers which of the reference and the margin were fixed before the run."""
    if pd.isna(row["margin_before_run"]):
        return f"reference {row['reference_before_run']}"
    if (both := row["reference_before_run"]) == row["margin_before_run"]:
        return f"both {both}"
    return f"reference {both}, δ {row['margin_before_run']}"
