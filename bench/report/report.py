"""`bench report`: tables, figures and the page of a sweep, rebuilt from its records alone."""

from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.record import read_records, write_atomically
from bench.report.package import write_package
from bench.report.paper_match import paper_match_markdown, write_paper_match
from bench.report.reduce import (
    csv_text,
    environments_of,
    keys_to_draw,
    leaderboard_table,
    load_sweep,
    runs_table,
    timings_table,
)
from bench.report.tables import latex, markdown, rewrite_readme


def report(directory: Path, readme: Path | None = None) -> pd.DataFrame:
    """Write the tables of a sweep, what describes and shows them, figures and page.html.

    Args:
        directory: The sweep's folder, results/<sweep>.
        readme: Where the leaderboard and paper_match.csv stand between their marks, if anywhere.

    Returns:
        The leaderboard.

    Raises:
        InputError: There is no sweep, no record, or a damaged one.
    """
    records = load_sweep(directory)
    if not records:
        raise InputError(f"report: {directory} has no records yet")
    board = leaderboard_table(records, directory.name)
    timings = timings_table(records)
    tables = {
        "runs.csv": runs_table(records, directory.name),
        "leaderboard.csv": board,
        "timings.csv": timings,
    }
    for name, table in tables.items():
        write_atomically(directory / name, csv_text(table))
    write_atomically(directory / "leaderboard.tex", latex(board))
    write_package(directory, timings, environments_of(records))
    match = write_paper_match(directory.parent)
    # matplotlib and Altair take a second each to import, and only these need them.
    from bench.report.page.write import write_page
    from bench.report.plots import draw_all

    names = {record["key"]: record["model"] for record in records}
    drawn = read_records(directory / "runs", keys_to_draw(records, board))
    drawn = [record | {"model": names[record["key"]]} for record in drawn]
    draw_all(drawn, directory / "figures")
    write_page(directory / "page.html", directory.name, records, board, drawn)
    if readme is not None:
        rewrite_readme(readme, "leaderboard", directory.name, markdown(board))
        if len(match):
            rewrite_readme(
                readme, "paper_match", directory.parent.name, paper_match_markdown(match)
            )
    return board
