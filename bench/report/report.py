"""`bench report`: rebuild tables, figures and the page of a sweep from its records alone."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.records.record import read_records
from bench.records.tables import csv_text, parse_runs
from bench.records.types import Record, SlimRecord
from bench.report.costs import timings_table
from bench.report.description import CRATE, description_files
from bench.report.missing import missing_models, missing_runs
from bench.report.package import dictionary_files
from bench.report.pages import pages_with, rewritten_pages
from bench.report.paper_match import follows_a_paper, paper_match_markdown, paper_match_of
from bench.report.reduce import (
    environments_of,
    keys_to_draw,
    leaderboard_table,
    load_sweep,
    runs_table,
)
from bench.report.tables import latex, markdown, summary
from bench.system.files import refuse_unwritable, write_atomically


def report(directory: Path, readme: Path | None = None) -> pd.DataFrame:
    """Write the tables of a sweep and their descriptions, its figures and page.html.

    Nothing is written before all files are made. There is no page where a library of its charts is
    missing, see ``missing_for_page``.

    Args:
        directory: The sweep's folder, results/<sweep>.
        readme: A README; it and the pages of docs/ beside it get the leaderboard and
            paper_match.csv between their marks.

    Returns:
        The leaderboard.

    Raises:
        InputError: There is no sweep or no record; a record is damaged; a file of another sweep or
            a page cannot be read; or a file cannot be written.
    """
    records = load_sweep(directory)
    if not records:
        raise InputError(f"report: {directory} has no records yet")
    board = leaderboard_table(records, directory.name)
    tables = table_files(directory, records, board)
    files: dict[Path, str | bytes] = {**tables}
    own = directory / "runs.csv"
    match = pd.DataFrame()
    # Reports of other sweeps leave it as it is: other versions may have made it.
    if follows_a_paper(directory.name):
        match = paper_match_of(directory.parent, own, parse_runs(tables[own].encode(), "runs.csv"))
    if len(match):
        files[directory.parent / "paper_match.csv"] = csv_text(match)
    if readme is not None:
        files |= rewritten_pages(pages_with(readme), tables_of_pages(directory, board, match))
    # Checked before drawing, which takes long.
    refuse_unwritable([*files, *drawn_paths(directory, records)], "report")
    missing = missing_runs(directory, tables[own], tables[directory / "timings.csv"])
    # Of this moment as well: runs may end while figures are drawn.
    absent = missing_models(directory)
    files |= drawn_files(directory, records, board, missing, absent)
    try:
        for path, content in files.items():
            write_atomically(path, content)
        if directory / CRATE not in files:
            # That of older tables would contradict these.
            (directory / CRATE).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"report: {path} cannot be written: {error.strerror}") from None
    return board


def table_files(
    directory: Path, records: Sequence[SlimRecord], board: pd.DataFrame
) -> dict[Path, str]:
    """Return {file: content} of a sweep's tables, their descriptions and the data dictionary."""
    runs, timings = runs_table(records, directory.name), timings_table(records)
    texts = {
        "runs.csv": csv_text(runs),
        "leaderboard.csv": csv_text(board),
        "timings.csv": csv_text(timings),
        "leaderboard.tex": latex(board),
    }
    described = description_files(directory, runs, timings, texts, environments_of(records))
    tables = {directory / name: text for name, text in texts.items()}
    return tables | described | dictionary_files(directory.parent)


def tables_of_pages(
    directory: Path, board: pd.DataFrame, match: pd.DataFrame
) -> dict[tuple[str, str], str]:
    """Return {mark: table in Markdown} of what the README and the pages of docs/ show of a sweep."""
    tables = {
        ("summary", directory.name): summary(board),
        ("leaderboard", directory.name): markdown(board),
    }
    if len(match):
        tables["paper_match", directory.parent.name] = paper_match_markdown(match)
    return tables


def missing_for_page() -> str | None:
    """Return the name of a library that the page needs and that is not installed; None if all are."""
    names = {"altair": "Altair", "vl_convert": "vl-convert-python"}
    return next((name for module, name in names.items() if find_spec(module) is None), None)


def drawn_paths(directory: Path, records: Sequence[SlimRecord]) -> list[Path]:
    """Return the paths of all files that ``drawn_files`` may give."""
    from bench.report.plots import figure_names

    figures = directory / "figures"
    return [*(figures / name for name in figure_names(records)), directory / "page.html"]


def drawn_records(
    directory: Path, records: Sequence[SlimRecord], board: pd.DataFrame
) -> list[Record]:
    """Return the whole records of the runs that figures show, with the models' names of the tables."""
    names = {record["key"]: record["model"] for record in records}
    return [
        {**record, "model": names[record["key"]]}
        for record in read_records(directory / "runs", keys_to_draw(records, board))
    ]


def drawn_files(
    directory: Path,
    records: Sequence[SlimRecord],
    board: pd.DataFrame,
    missing: str | None,
    absent: Sequence[str],
) -> dict[Path, str | bytes]:
    """Return {file: content} of the figures and the page, which says what is missing, see ``page_of``."""
    # matplotlib and Altair take a second each to import, and nothing else needs them.
    from bench.report.plots import figures_of

    drawn = drawn_records(directory, records, board)
    files: dict[Path, str | bytes] = {
        directory / "figures" / name: png for name, png in figures_of(drawn).items()
    }
    if missing_for_page() is None:
        from bench.report.page.write import page_of

        files[directory / "page.html"] = page_of(
            directory.name, records, board, drawn, missing, absent
        )
    return files
