"""The tables of docs/peers.md."""

from pathlib import Path

import pandas as pd

from bench.report.pages import rewrite_pages
from bench.system.printing import number


def shown(value: float) -> str:
    return "–" if pd.isna(value) else number(value, 2)


def rewrite_page(page: Path, board: pd.DataFrame, checks: pd.DataFrame) -> None:
    """Rewrite both tables between their marks in a page."""
    tables = {
        ("board", "peers"): board_markdown(board),
        ("checks", "peers"): checks_markdown(checks),
    }
    rewrite_pages([page], tables)


def board_markdown(board: pd.DataFrame) -> str:
    """Return leaderboard.csv as a table, the best row of each task first."""
    lines = [
        "| task | row | verification | bits/dim | L_K | K | ELBO |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for row in board.itertuples():
        cells = [
            row.task,
            row.model,
            row.verification,
            number(row.bits_per_dim, 3),
            shown(row.log_likelihood),
            "exact" if row.bound == "exact" else f"{row.importance_samples:.0f}",
            shown(row.elbo),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def checks_markdown(checks: pd.DataFrame) -> str:
    """Return checks.csv as a table; what has no counterpart here has no number of ours."""
    lines = [
        "| peer | what it says of the test images | theirs | ours | difference |",
        "|---|---|---:|---:|---:|",
    ]
    for row in checks.itertuples():
        error = f" ± {shown(row.stderr)}" if pd.notna(row.stderr) else ""
        difference = shown(row.difference) + error
        cells = [row.peer, row.quantity, shown(row.theirs), shown(row.ours), difference]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
