"""Marks in the rows of a leaderboard, and the sentences below it that explain them."""

import pandas as pd

from bench.records.run_columns import POPULATION_STDERR
from bench.system.printing import number

# Stands at bits/dim whose Monte-Carlo error is not known, because it cannot be.
UNKNOWN_ERROR = "†"
UNKNOWN_ERROR_REASON = (
    "† The Monte-Carlo error of L_K cannot be known here: K is below 50, or too few images with "
    "heavy-tailed weights make most of it."
)
# Stands at the bits/dim of a row some of whose seeds failed.
SURVIVORS_ONLY = "*"
SURVIVORS_ONLY_REASON = (
    "* Some seeds failed: mean and interval are over those that ended well alone, which may differ."
)
OTHER_SAMPLES_REASON = (
    "Rows with K in brackets were evaluated with another number of samples than the ranked ones, and "
    "L_K rises with K: they have no rank."
)


def has_unknown_error(row: pd.Series) -> bool:
    """Tell whether a row of leaderboard.csv has a bound without a Monte-Carlo error."""
    is_bound = pd.notna(row["importance_samples"]) and row["importance_samples"] > 0
    return is_bound and pd.isna(row["bits_per_dim_stderr"])


def is_over_survivors(row: pd.Series) -> bool:
    """Tell whether a row of leaderboard.csv has numbers, but not of all its seeds."""
    return bool(row["failed"]) and pd.notna(row["bits_per_dim"])


def has_other_samples(row: pd.Series) -> bool:
    """Tell whether a row of leaderboard.csv has a number but no rank, because its K is another."""
    return pd.notna(row["bits_per_dim"]) and pd.isna(row["rank"])


def marks(row: pd.Series) -> str:
    """Return the marks that stand at a row's bits/dim."""
    text = UNKNOWN_ERROR if has_unknown_error(row) else ""
    text += SURVIVORS_ONLY if is_over_survivors(row) else ""
    return text + (f" ({samples_text(row)})" if has_other_samples(row) else "")


def samples_text(row: pd.Series) -> str:
    samples = row["importance_samples"]
    return "several K" if pd.isna(samples) else f"K = {int(samples)}"


def population_note(rows: pd.DataFrame) -> str | None:
    """Return a sentence on the error of one task's log-likelihoods for the population of images."""
    errors = rows[POPULATION_STDERR.name].dropna()
    if errors.empty:
        return None
    least, most = (number(error, 2) for error in (errors.min(), errors.max()))
    size = least if least == most else f"{least} to {most}"
    return (
        f"The test images are a sample too: as an estimate for their population log-lik. has a standard "
        f"error of {size} nats, which ± does not contain and which the models share in large part."
    )


def notes(board: pd.DataFrame) -> list[str]:
    """Return the sentences that explain the marks in the rows of a leaderboard."""
    reasons = (
        (has_unknown_error, UNKNOWN_ERROR_REASON),
        (is_over_survivors, SURVIVORS_ONLY_REASON),
        (has_other_samples, OTHER_SAMPLES_REASON),
    )
    return [reason for has_mark, reason in reasons if board.apply(has_mark, axis=1).any()]
