"""`bench report`: tables, figures and the page of a sweep, rebuilt from its records alone."""

from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.records.record import read_records
from bench.records.tables import csv_text, parse_runs
from bench.report.package import package_files
from bench.report.paper_match import follows_a_paper, paper_match_markdown, paper_match_of
from bench.report.reduce import (
    environments_of,
    keys_to_draw,
    leaderboard_table,
    load_sweep,
    runs_table,
    timings_table,
)
from bench.report.tables import latex, markdown, read_readme, rewritten
from bench.system.files import refuse_unwritable, write_atomically


def report(directory: Path, readme: Path | None = None) -> pd.DataFrame:
    """Write the tables of a sweep, what describes and shows them, figures and page.html.

    Everything is made before anything is written.

    Args:
        directory: The sweep's folder, results/<sweep>.
        readme: Where the leaderboard and paper_match.csv stand between their marks, if anywhere.

    Returns:
        The leaderboard.

    Raises:
        InputError: There is no sweep, no record, or a damaged one; a file of another sweep or the
            README cannot be read; or something cannot be written.
    """
    records = load_sweep(directory)
    if not records:
        raise InputError(f"report: {directory} has no records yet")
    board = leaderboard_table(records, directory.name)
    tables = table_files(directory, records, board)
    files: dict[Path, str | bytes] = {**tables}
    own = directory / "runs.csv"
    match = pd.DataFrame()
    # Beside any other sweep it stays as it is, to the last digit, whatever versions made it.
    if follows_a_paper(directory.name):
        match = paper_match_of(directory.parent, own, parse_runs(tables[own].encode(), "runs.csv"))
    if len(match):
        files[directory.parent / "paper_match.csv"] = csv_text(match)
    if readme is not None:
        files |= readme_files(readme, directory, board, match)
    # Before what takes long.
    refuse_unwritable([*files, directory / "figures" / "x.png", directory / "page.html"], "report")
    files |= drawn_files(directory, records, board)
    refuse_unwritable(list(files), "report")
    try:
        for path, content in files.items():
            write_atomically(path, content)
    except OSError as error:
        raise InputError(f"report: {path} cannot be written: {error.strerror}") from None
    return board


def table_files(directory: Path, records: list[dict], board: pd.DataFrame) -> dict[Path, str]:
    """Return {file: what it is to hold} of a sweep's tables, and of what describes them."""
    timings = timings_table(records)
    tables = {
        "runs.csv": runs_table(records, directory.name),
        "leaderboard.csv": board,
        "timings.csv": timings,
    }
    files = {directory / name: csv_text(table) for name, table in tables.items()}
    files[directory / "leaderboard.tex"] = latex(board)
    return files | package_files(directory, timings, environments_of(records))


def readme_files(
    readme: Path, directory: Path, board: pd.DataFrame, match: pd.DataFrame
) -> dict[Path, str]:
    """Return {README: what it is to hold}, nothing where it has no marks or holds it already."""
    old = text = read_readme(readme)
    text = rewritten(text, "leaderboard", directory.name, markdown(board)) or text
    if len(match):
        words = paper_match_markdown(match)
        text = rewritten(text, "paper_match", directory.parent.name, words) or text
    return {readme: text} if text != old else {}


def drawn_files(
    directory: Path, records: list[dict], board: pd.DataFrame
) -> dict[Path, str | bytes]:
    """Return {file: what it is to hold} of the figures and the page."""
    # matplotlib and Altair take a second each to import, and only these need them.
    from bench.report.page.write import page_of
    from bench.report.plots import figures_of

    names = {record["key"]: record["model"] for record in records}
    drawn = read_records(directory / "runs", keys_to_draw(records, board))
    drawn = [record | {"model": names[record["key"]]} for record in drawn]
    figures = figures_of(drawn)
    page = page_of(directory.name, records, board, drawn)
    return {directory / "figures" / name: png for name, png in figures.items()} | {
        directory / "page.html": page
    }
