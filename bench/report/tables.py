"""The leaderboard for readers: in the terminal, as Markdown and as LaTeX."""

import re
from collections.abc import Callable

import pandas as pd

from bench.errors import escaped
from bench.records.columns import DIFFERENCE
from bench.records.types import Metrics
from bench.report.notes import has_order_alone, marks, notes, task_notes
from bench.system.printing import number, print_table, say

# (column, heading, decimals, with an interval)
SHOWN = (
    ("bits_per_dim", "bits/dim", 3, True),
    (DIFFERENCE, "Δ to best other ranked row", 3, True),
    ("log_likelihood", "log-lik.", 2, True),
    ("elbo", "ELBO", 2, False),
    ("reconstruction", "reconstr.", 2, False),
    ("mutual_information", "mutual inf.", 2, False),
    ("marginal_kl", "marginal KL", 2, False),
    ("active_units", "active", 1, False),
    ("sharpness", "sharpness", 2, False),
)
MOST_DECIMALS = 6
# What the cells of ``to_best`` mean.
TO_BEST_WORDS = (
    "Δ to best other ranked row: the difference of bits/dim to the smallest of the other ranked rows. "
    "With 95 % confidence in all rows together (multiple comparisons with the best, Hsu 1984) a row is "
    "called best or behind, and the difference is at most the number in brackets; open: it may be "
    "either, and the interval of the difference follows. A number without a word has no interval, "
    "because that row or the best other has one seed: such rows are compared with none."
)


def enough_decimals(rows: pd.DataFrame, name: str, least: int) -> int:
    """Return how many decimals show the narrowest interval of a task's column as more than 0."""
    widths = (rows[name] - rows[f"{name}_low"]).dropna()
    widths = widths[widths > 0]  # the interval of an exact number has width 0
    enough = (n for n in range(least, MOST_DECIMALS) if (widths >= 0.5 * 10.0**-n).all())
    return next(enough, MOST_DECIMALS)


def cell(row: pd.Series, name: str, decimals: int, with_interval: bool) -> str:
    value = row[name]
    if pd.isna(value):
        return "–"
    if name == DIFFERENCE:
        return to_best(float(value), row[f"{name}_low"], row[f"{name}_high"], decimals)
    text = number(value, decimals)
    low = row.get(f"{name}_low")
    if with_interval and not pd.isna(low) and low < value:
        text += f" ± {number(value - low, decimals)}"
    return text


def to_best(difference: float, low: float, high: float, decimals: int) -> str:
    """Return a difference to the best other row, and what its constrained interval says, in words.

    The interval ends at 0 where the row is the best, and begins there where it is not. It then says how
    large the difference is at most, and nothing of how small it may be.
    """
    if pd.isna(low):
        return number(difference, decimals, "+")
    size = number(abs(difference), decimals)
    if high == 0:
        return f"best by {size} (at most {number(-low, decimals)})"
    if low == 0:
        return f"behind by {size} (at most {number(high, decimals)})"
    ends = f"{number(low, decimals, '+')} to {number(high, decimals, '+')}"
    return f"open: {number(difference, decimals, '+')} ({ends})"


def texts_of_task(rows: pd.DataFrame) -> list[dict[str, str]]:
    """Return {column of leaderboard.csv: text} for each row of one task's leaderboard."""
    columns = [
        (name, enough_decimals(rows, name, least) if wide else least, wide)
        for name, _, least, wide in SHOWN
    ]
    texts = [{column[0]: cell(row, *column) for column in columns} for _, row in rows.iterrows()]
    for text, (_, row) in zip(texts, rows.iterrows()):
        text["bits_per_dim"] += marks(row, rows)
    return texts


def rank_text(row: pd.Series) -> str:
    """Return a row's rank, in brackets where it is an order without an error."""
    if pd.isna(row["rank"]):
        return "–"
    rank = str(int(row["rank"]))
    return f"({rank})" if has_order_alone(row) else rank


def open_ranks(row: pd.Series) -> str:
    """Return the ranks that remain possible, such as 1–3."""
    if pd.isna(row["rank_low"]):
        return "–"
    low, high = int(row["rank_low"]), int(row["rank_high"])
    return str(low) if low == high else f"{low}–{high}"


def shown_rows(board: pd.DataFrame) -> list[tuple[str, list[list[str]]]]:
    """Return (task, rows of cells) for each task, in the leaderboard's order."""
    tables = []
    for task, rows in board.groupby("task", sort=False):
        cells = []
        for texts, (_, row) in zip(texts_of_task(rows), rows.iterrows()):
            failed = f" ({row['failed']} failed)" if row["failed"] else ""
            first = [rank_text(row), open_ranks(row), row["model"], f"{row['seeds']}{failed}"]
            cells.append([*first, *texts.values()])
        tables.append((task, cells))
    return tables


def headings() -> list[str]:
    return ["", "ranks", "model", "seeds", *[heading for _, heading, _, _ in SHOWN]]


def print_leaderboard(board: pd.DataFrame) -> None:
    """Print a table for each task, bits/dim with their 95 % interval over seeds."""
    for task, rows in shown_rows(board):
        print_table(f"{task}: test split, lower bits/dim is better", headings(), rows, texts={2})
        for note in task_notes(board[board["task"] == task]):
            say(note)
    say(
        "bits/dim ± half width of the 95 % interval over seeds. ranks: those that comparisons of all "
        f"pairs leave open. {TO_BEST_WORDS} All else in nats per image; log-lik.: the exact "
        "log-likelihood or the bound L_K, from which bits/dim are computed."
    )
    for note in notes(board):
        say(note)


def in_markdown(text: str) -> str:
    """Return text escaped for a cell of Markdown: no markup, no end of a cell, comment or formula."""
    return re.sub(r"[\\`*\[\]<>|$&]", lambda found: f"&#{ord(found[0])};", escaped(text))


def markdown(board: pd.DataFrame, escape: Callable[[str], str] = in_markdown) -> str:
    """Return a table in Markdown for each task; ``escape`` is applied to the text of every cell."""
    lines = []
    for task, rows in shown_rows(board):
        lines += [f"**{escape(task)}**", "", "| " + " | ".join(headings()) + " |"]
        lines.append("|---:|---:|---|" + "---:|" * (len(headings()) - 3))
        lines += ["| " + " | ".join(map(escape, cells)) + " |" for cells in rows] + [""]
        for note in task_notes(board[board["task"] == task]):
            lines += [escape(note), ""]
    for note in notes(board):
        lines += [in_markdown(note), ""]
    return "\n".join(lines)


def summary(board: pd.DataFrame, escape: Callable[[str], str] = in_markdown) -> str:
    """Return one table in Markdown of all tasks, with the columns that say most."""
    lines = ["| task | ranks | model | bits/dim | Δ to best | mutual inf. | marginal KL |"]
    lines.append("|---|---:|---|---:|---:|---:|---:|")
    for task, rows in board.groupby("task", sort=False):
        shown = [task, *[""] * (len(rows) - 1)]
        decimals = enough_decimals(rows, DIFFERENCE, 3)
        for name, texts, (_, row) in zip(shown, texts_of_task(rows), rows.iterrows()):
            difference = texts[DIFFERENCE]
            if row[f"{DIFFERENCE}_high"] == 0:  # for certain
                difference = "best"
            elif not pd.isna(row[DIFFERENCE]):
                difference = number(row[DIFFERENCE], decimals, "+")
            cells = [name, open_ranks(row), row["model"], texts["bits_per_dim"], difference]
            cells += [texts["mutual_information"], texts["marginal_kl"]]
            lines.append("| " + " | ".join(map(escape, cells)) + " |")
    return "\n".join(lines)


LATEX_CHARACTERS = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


def in_latex(text: str) -> str:
    """Return text escaped for a cell of LaTeX, with its signs in math mode."""
    text = escaped(" ".join(text.split())).translate(LATEX_CHARACTERS)
    # A hyphen before a digit is a minus sign, but not inside a name.
    text = re.sub(r"(?<![\w-])-(?=\d)", "$-$", text)
    return (
        text.replace("±", r"$\pm$")
        .replace("–", "--")
        .replace("†", r"$^\dagger$")
        .replace("‡", r"$^\ddagger$")
        .replace("Δ", r"$\Delta$")
    )


def latex(board: pd.DataFrame) -> str:
    """Return leaderboard.tex: a ``booktabs`` table for each task, to be included in a paper."""
    columns = headings()
    lines = [
        r"% \usepackage{booktabs}; bits/dim with the half width of the 95 % interval over seeds"
    ]
    for task, rows in shown_rows(board):
        lines += [r"\begin{tabular}{rrl" + "r" * (len(columns) - 3) + "}", r"\toprule"]
        lines.append(rf"\multicolumn{{{len(columns)}}}{{l}}{{{in_latex(task)}}} \\")
        lines += [r"\midrule", " & ".join(map(in_latex, columns)) + r" \\", r"\midrule"]
        for cells in rows:
            lines.append(" & ".join(map(in_latex, cells)) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}", ""]
        for note in task_notes(board[board["task"] == task]):
            lines += [in_latex(note), ""]
    for note in notes(board):
        lines += [in_latex(note), ""]
    return "\n".join(lines)


def print_estimates(metrics: Metrics) -> None:
    """Print a run's estimates: value ± Monte-Carlo standard error, a column for each split."""
    units = {"bits_per_dim": "bits/dim", "active_units": "", "effective_sample_size_median": "of K"}
    units |= dict.fromkeys(
        ("effective_sample_size_below_10", "pareto_k_above_threshold"), "of data"
    )
    units |= {f"sharpness{of}": "of data's" for of in ("", "_aggregate", "_reconstruction")}
    splits = list(metrics)
    rows = []
    for name in dict.fromkeys(name for split in splits for name in metrics[split]):
        cells = []
        for split in splits:
            if (estimate := metrics[split].get(name)) is None:
                cells.append("")
                continue
            error = estimate.get("stderr")
            spread = f" ± {number(error, 4)}" if error else ""
            cells.append(number(estimate["value"], 4) + spread)
        rows.append([f"{name} ({units.get(name, 'nats')})".replace(" ()", ""), *cells])
    print_table("value ± Monte-Carlo standard error", ["", *splits], rows, texts={0})
