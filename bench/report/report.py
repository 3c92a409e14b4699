"""`bench report`: tables, figures and the page of a sweep, rebuilt from its records alone."""

from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.record import read_records, write_atomically
from bench.report.reduce import (
    csv_text,
    keys_to_draw,
    leaderboard_table,
    load_sweep,
    runs_table,
    timings_table,
)
from bench.report.tables import markdown, rewrite_readme


def report(directory: Path, readme: Path | None = None) -> pd.DataFrame:
    """Write runs.csv, leaderboard.csv, timings.csv, figures/ and page.html of a sweep.

    Args:
        directory: The sweep's folder, results/<sweep>.
        readme: Where the leaderboard stands between its marks, if anywhere.

    Returns:
        The leaderboard.

    Raises:
        InputError: There is no sweep, no record, or a damaged one.
    """
    records = load_sweep(directory)
    if not records:
        raise InputError(f"report: {directory} has no records yet")
    board = leaderboard_table(records, directory.name)
    tables = {
        "runs.csv": runs_table(records, directory.name),
        "leaderboard.csv": board,
        "timings.csv": timings_table(records),
    }
    for name, table in tables.items():
        write_atomically(directory / name, csv_text(table))
    # matplotlib and Altair take a second each to import, and only these need them.
    from bench.report.page.write import write_page
    from bench.report.plots import draw_all

    drawn = read_records(directory / "runs", keys_to_draw(records, board))
    draw_all(drawn, directory / "figures")
    write_page(directory / "page.html", directory.name, records, board, drawn)
    if readme is not None:
        rewrite_readme(readme, "leaderboard", directory.name, markdown(board))
    return board
