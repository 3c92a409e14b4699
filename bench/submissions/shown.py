"""A board for readers: in the terminal, and as a page."""

from html import escape

import pandas as pd

from bench.report.notes import notes
from bench.report.tables import headings, shown_rows
from bench.system.printing import print_table, say

MEANINGS = {
    "own run": "measured here, by this benchmark's own training and evaluation",
    "retrained": "trained again here from the submitted recipe; the numbers are ours, and agree with "
    "the claimed ones",
    "evaluated": "computed here from the submitted weights; the submitter's code, where there is some, "
    "ran in the same process, so that this excludes mistakes and not every deceit",
    "claimed": "the submitter's own numbers, of which only contradictions were searched for",
}
# Position of the column with the level of verification: after the model's name.
POSITION = 3
# On paper nothing scrolls: there the table gets smaller letters, and breaks its lines.
STYLE = (
    ":root{color-scheme:light dark}body{font:15px system-ui,sans-serif;margin:2em 1em}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse}"
    "td,th{padding:.3em .7em;border-bottom:1px solid #8888;text-align:right;white-space:nowrap}"
    "th{white-space:normal;vertical-align:bottom}"
    "td:nth-child(3),td:nth-child(4){text-align:left}p{max-width:60em}"
    "@media print{.scroll{overflow:visible}table{font-size:7pt}td,th{padding:.2em;white-space:normal}}"
)


def with_levels(board: pd.DataFrame) -> list[tuple[str, list[list[str]]]]:
    """Return (task, rows of cells) of each task, with each row's level of verification."""
    tables = []
    for (task, rows), (_, group) in zip(shown_rows(board), board.groupby("task", sort=False)):
        levels = list(group["verification"])
        cells = [[*row[:POSITION], level, *row[POSITION:]] for row, level in zip(rows, levels)]
        tables.append((task, cells))
    return tables


def headings_with_level() -> list[str]:
    own = headings()
    return [*own[:POSITION], "verification", *own[POSITION:]]


def meanings(board: pd.DataFrame) -> list[str]:
    """Return a line on each level that a board has."""
    present = set(board["verification"])
    lines = [f"{level}: {words}" for level, words in MEANINGS.items() if level in present]
    claimed = board[board["verification"] == "claimed"]
    if claimed["bits_per_dim_stderr"].isna().any():
        lines.append("† of a claimed row may also mean that no Monte-Carlo error was claimed")
    return lines


def print_board(board: pd.DataFrame) -> None:
    """Print a table for each task, with levels of verification, and what these mean."""
    for task, rows in with_levels(board):
        title = f"{task}: test split, lower bits/dim is better"
        print_table(title, headings_with_level(), rows, texts={2, POSITION})
    for line in [*meanings(board), *notes(board)]:
        say(line)


def page(name: str, board: pd.DataFrame) -> str:
    """Return a page in HTML that needs nothing else."""
    parts = [
        "<!doctype html>",
        f'<html lang="en"><meta charset="utf-8"><title>{escape(name)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style>",
        f"<h1>{escape(name)}</h1>",
    ]
    cells = lambda tag, row: "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in row)
    for task, rows in with_levels(board):
        lines = [f"<tr>{cells('td', row)}</tr>" for row in rows]
        parts += [
            f"<h2>{escape(task)}</h2>",
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(task)}">',
            f"<table><tr>{cells('th', headings_with_level())}</tr>",
        ]
        parts += [*lines, "</table></div>"]
    parts += [f"<p>{escape(line)}</p>" for line in [*meanings(board), *notes(board)]]
    return "\n".join([*parts, "</html>", ""])
