"""Marks in the rows of a leaderboard, and the sentences below it that explain them."""

import pandas as pd

from bench.records.row import samples_text
from bench.records.run_columns import POPULATION_STDERR
from bench.records.types import REFERENCES
from bench.system.printing import number

# Stands at bits/dim whose Monte-Carlo error is not known, because it cannot be.
UNKNOWN_ERROR = "†"
UNKNOWN_ERROR_REASON = (
    "† The Monte-Carlo error of L_K cannot be known here: K is below 50, or a few images with "
    "heavy-tailed weights dominate it."
)
# Stands at bits/dim some of whose seeds lack the diagnostics of L_K.
UNDIAGNOSED = "‡"
UNDIAGNOSED_REASON = (
    "‡ Not all seeds have the diagnostics of L_K. The Monte-Carlo error of the others is an older "
    "estimate that is too small: where a run has had both, today's is 1.5 to 1.7 times as large."
)
# Stands at the bits/dim of a row some of whose seeds failed.
SURVIVORS_ONLY = "*"
SURVIVORS_ONLY_REASON = (
    "* Some seeds failed: all numbers, intervals and ranks are of those that ended well, which may "
    "differ. Failed ones are in none of them."
)
UNRANKED_REASON = (
    "Rows with K or a number of images in brackets were evaluated with other ones than the ranked rows: "
    "they have no rank."
)
ORDER_ALONE_REASON = (
    "A rank in brackets is an order of means without an error: the row has one seed, which says nothing "
    "of its spread."
)


def has_unknown_error(row: pd.Series) -> bool:
    """Tell whether a row of leaderboard.csv has a bound without a Monte-Carlo error."""
    is_bound = pd.notna(row["importance_samples"]) and row["importance_samples"] > 0
    return is_bound and pd.isna(row["bits_per_dim_stderr"])


def lacks_diagnostics(row: pd.Series) -> bool:
    """Tell whether some seeds of a row of leaderboard.csv lack the diagnostics of L_K."""
    return pd.notna(row["diagnosed_seeds"]) and row["diagnosed_seeds"] < row["seeds"]


def is_over_survivors(row: pd.Series) -> bool:
    """Tell whether a row of leaderboard.csv has numbers, but not of all its seeds."""
    return bool(row["failed"]) and pd.notna(row["bits_per_dim"])


def is_unranked(row: pd.Series) -> bool:
    """Tell whether a row of leaderboard.csv has a number but no rank: its K or its images are others."""
    return pd.notna(row["bits_per_dim"]) and pd.isna(row["rank"])


def has_order_alone(row: pd.Series) -> bool:
    """Tell whether a row of leaderboard.csv has a rank, but no ranks that remain open."""
    return pd.notna(row["rank"]) and pd.isna(row["rank_low"])


def marks(row: pd.Series, rows: pd.DataFrame) -> str:
    """Return the marks that stand at the bits/dim of one of a task's rows."""
    text = UNKNOWN_ERROR if has_unknown_error(row) else ""
    text += UNDIAGNOSED if lacks_diagnostics(row) else ""
    text += SURVIVORS_ONLY if is_over_survivors(row) else ""
    return text + (f" ({evaluation_text(row, rows)})" if is_unranked(row) else "")


def evaluation_text(row: pd.Series, rows: pd.DataFrame) -> str:
    """Return the K of a row without a rank, or its number of images where that is what differs."""
    if is_of_ranked_images(row, rows):
        samples = row["importance_samples"]
        return "several K" if pd.isna(samples) else samples_text([samples])
    images = row["importance_data"]
    return "several numbers of images" if pd.isna(images) else f"{int(images)} images"


def is_of_ranked_images(row: pd.Series, rows: pd.DataFrame) -> bool:
    """Tell whether a row was evaluated on as many images as a task's ranked rows, if there are any."""
    ranked = rows.loc[rows["rank"].notna(), "importance_data"]
    return ranked.empty or (
        pd.notna(row["importance_data"]) and row["importance_data"] in set(ranked)
    )


def population_note(rows: pd.DataFrame) -> str | None:
    """Return a sentence on the error of one task's log-likelihoods for the population of images."""
    # The uniform density is the same for every image, and no model that anyone compares.
    is_trained = [str(model).partition(" ")[0] not in REFERENCES for model in rows["model"]]
    errors = rows.loc[is_trained, POPULATION_STDERR.name].dropna()
    if errors.empty:
        return None
    least, most = (number(error, 2) for error in (errors.min(), errors.max()))
    size = least if least == most else f"{least} to {most}"
    return (
        f"With other test images of the same kind log-lik. of trained models would vary by {size} nats "
        "(standard error). ± leaves this out; it moves all models nearly alike."
    )


def unranked_note(rows: pd.DataFrame) -> str | None:
    """Return a sentence on where rows of another K would stand among one task's ranked rows.

    L_K rises with K in expectation, so bits/dim that are smaller at fewer samples, or larger at more,
    would be so at equal K. An exact number is above every bound that has smaller bits/dim.
    """
    ranked = rows[rows["rank"].notna()].sort_values("rank")
    found = []
    for _, row in rows[rows.apply(is_unranked, axis=1)].iterrows():
        samples, bits = row["importance_samples"], row["bits_per_dim"]
        if pd.isna(samples) or not is_of_ranked_images(row, rows):
            continue
        is_exact, more = ranked["bound"] == "exact", ranked["importance_samples"]
        is_behind = ranked[(ranked["bits_per_dim"] > bits) & (is_exact | (more > samples))]
        is_before = ranked[(ranked["bits_per_dim"] < bits) & ~is_exact & (more < samples)]
        places = [f"after {is_before['model'].iloc[-1]}"] if len(is_before) else []
        places += [f"before {is_behind['model'].iloc[0]}"] if len(is_behind) else []
        if places:
            found.append(f"{row['model']} {' and '.join(places)}")
    if not found:
        return None
    return (
        "L_K rises with K. Rows of another K would at equal K probably rank, by their means: "
        f"{'; '.join(found)}."
    )


def task_notes(rows: pd.DataFrame) -> list[str]:
    """Return the sentences that stand below one task's leaderboard."""
    return [note for note in (population_note(rows), unranked_note(rows)) if note is not None]


def notes(board: pd.DataFrame) -> list[str]:
    """Return the sentences that explain the marks in the rows of a leaderboard."""
    reasons = (
        (has_unknown_error, UNKNOWN_ERROR_REASON),
        (lacks_diagnostics, UNDIAGNOSED_REASON),
        (is_over_survivors, SURVIVORS_ONLY_REASON),
        (is_unranked, UNRANKED_REASON),
        (has_order_alone, ORDER_ALONE_REASON),
    )
    return [reason for has_mark, reason in reasons if board.apply(has_mark, axis=1).any()]
