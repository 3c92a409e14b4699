"""The tables of docs/peers.md."""

from math import nan
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
    """Return leaderboard.csv as a table, the best row of each task first, without ``uniform``."""
    lines = [
        "| task | row | verification | bits/dim | L_K | K | ELBO |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for row in board[board["model"] != "uniform"].itertuples():
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
    """Return checks.csv as a table with a row for each training."""
    lines = [
        "| peer | seed | its ELBO | less ours | its log-lik. | less ours | its −loss |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for (peer, seed), group in checks.groupby(["peer", "seed"], sort=False):
        said = group.set_index("quantity")
        cells = [peer, f"{seed}"]
        for name in ("elbo", "log_likelihood"):
            cells += difference_cells(said.loc[name]) if name in said.index else ["–", "–"]
        cells.append(shown(said["theirs"].get("minus_loss", nan)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def difference_cells(row: pd.Series) -> list[str]:
    error = f" ± {shown(row['stderr'])}" if pd.notna(row["stderr"]) else ""
    return [shown(row["theirs"]), shown(row["difference"]) + error]
