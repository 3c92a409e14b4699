"""Tables inside tracked Markdown pages: the README and the pages of docs/ beside it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.errors import InputError
from bench.system.files import MIB, is_there, read_text, write_atomically

LONGEST_PAGE = 16 * MIB


def pages_with(readme: Path) -> list[Path]:
    """Return a README and the pages of the folder ``docs`` beside it."""
    return [readme, *sorted((readme.parent / "docs").glob("*.md"))]


def rewritten_pages(
    pages: Iterable[Path], tables: Mapping[tuple[str, str], str]
) -> dict[Path, str]:
    """Return {page: new content} of the pages in which tables between marks change.

    Args:
        pages: Markdown files; those without marks stay as they are.
        tables: {(kind, name of the sweep or of its folder of results): new table}.

    Raises:
        InputError: A page cannot be read, or has a mark more than once.
    """
    changed = {}
    for page in pages:
        text = old = read_page(page)
        for (kind, sweep), table in tables.items():
            text = rewritten(text, kind, sweep, table) or text
        if text != old:
            changed[page] = text
    return changed


def rewrite_pages(pages: Iterable[Path], tables: Mapping[tuple[str, str], str]) -> None:
    """Replace tables between marks in pages; see ``rewritten_pages``."""
    for page, text in rewritten_pages(pages, tables).items():
        write_atomically(page, text)


def read_page(path: Path) -> str:
    """Return a page's text, empty if there is none. Raises InputError if it cannot be read."""
    if not is_there(path):
        return ""
    try:
        return read_text(path, LONGEST_PAGE)
    except (OSError, ValueError) as error:
        raise InputError(f"readme: {path} cannot be read: {error}") from None


def rewritten(old: str, kind: str, sweep: str, text: str) -> str | None:
    """Return a page with ``text`` between a sweep's marks; None if it does not have them.

    Args:
        old: The page.
        kind: leaderboard, or another table.
        sweep: The sweep's name, or that of the folder of results.
        text: The new table.

    Raises:
        InputError: One of the marks occurs more than once, so it is unclear what to replace.
    """
    start, end = f"<!-- {kind}:{sweep} -->", f"<!-- /{kind}:{sweep} -->"
    opening = old.find(start)
    closing = old.find(end, opening + len(start))
    if opening < 0 or closing < 0:
        return None
    for mark in (start, end):
        if old.count(mark) > 1:
            raise InputError(f"readme: {mark} occurs {old.count(mark)} times; keep one of them")
    return f"{old[:opening]}{start}\n{text}\n{end}{old[closing + len(end) :]}"
