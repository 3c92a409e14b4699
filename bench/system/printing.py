"""Printing: foreign text on one line, short numbers, and tables that fit the terminal."""

import codecs
import io
import os
import re
import sys
from collections.abc import Container
from math import floor, log10
from typing import TYPE_CHECKING, TextIO

from bench.errors import escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Replacements for characters that the output's encoding lacks; others are written as \x….
PLAIN = {
    "±": "+-",
    "−": "-",
    "–": "-",
    "—": "-",
    "─": "-",
    "━": "=",
    "·": "*",
    "×": "x",
    "²": "^2",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "…": "...",
    "’": "'",
    "“": '"',
    "”": '"',
    "β": "beta",
    "ρ": "rho",
    "σ": "sigma",
    "Σ": "sum",
    "δ": "delta",
    "Δ": "Delta",
}
# Larger numbers are written in scientific notation: tables have no room for all their digits.
HUGE = 1e7
# More decimals than this help no reader.
MOST_DECIMALS = 6
# Width of the output if it is not a terminal: a file needs no line breaks.
UNLIMITED = 1000


def in_plain_characters(error: UnicodeError) -> tuple[str, int]:
    """Replace the characters that an encoding lacks; an error handler for ``codecs``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    plain = [PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in missing]
    return "".join(plain), error.end


codecs.register_error("bench.plain", in_plain_characters)


def take_every_character() -> None:
    """Let stdout and stderr replace characters that their encoding lacks, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="bench.plain")


def printable(text: object) -> str:
    """Return foreign text as one line without control characters, in stdout's encoding."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return escaped(str(text)).encode(encoding, "bench.plain").decode(encoding)


def say(line: object, file: TextIO | None = None) -> None:
    """Print a line that may hold foreign text, to stdout or another stream."""
    print(printable(line), file=file, flush=True)


def decimals_of_error(error: float) -> int:
    """Return the decimals that show two digits of an error, which is above 0."""
    return min(max(1 - floor(log10(error)), 0), MOST_DECIMALS)


def number(value: float, decimals: int, sign: str = "") -> str:
    """Return a number with this many decimals; a huge one in scientific notation."""
    if abs(value) >= HUGE:
        return f"{value:{sign}.{max(decimals, 3)}e}"
    return f"{value:{sign}.{decimals}f}"


def print_table(
    title: str,
    headings: list[str],
    rows: list[list[str]],
    texts: Container[int] = (),
    red: Container[int] = (),
) -> None:
    """Print a table, or a block of lines for each row if the table is wider than the terminal.

    Args:
        title: The line above the table.
        headings: The columns' headings.
        rows: The cells of each row.
        texts: Positions of the columns with text, which may wrap; all others hold numbers, which
            never do.
        red: Positions of the rows to print in red.
    """
    title, headings = printable(title), [printable(heading) for heading in headings]
    rows = [[printable(cell) for cell in row] for row in rows]
    table = rich_table(title, headings, rows, texts, red)
    console = table_console()
    unlimited = console.options.update(max_width=UNLIMITED)
    if console.measure(table, options=unlimited).minimum <= console.width:
        console.print(table)
    else:
        print_blocks(title, headings, rows)


def rich_table(
    title: str,
    headings: list[str],
    rows: list[list[str]],
    texts: Container[int],
    red: Container[int],
) -> "Table":
    """Return the table of ``print_table`` as rich draws it."""
    from rich.cells import cell_len
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    for position, heading in enumerate(headings):
        column = [heading, *(row[position] for row in rows)]
        is_text = position in texts
        table.add_column(
            escape(heading),
            justify="left" if is_text else "right",
            overflow="fold",
            no_wrap=not is_text,
            min_width=None if is_text else max(map(cell_len, column)),
        )
    for position, row in enumerate(rows):
        table.add_row(*map(escape, row), style="red" if position in red else "")
    return table


def print_blocks(title: str, headings: list[str], rows: list[list[str]]) -> None:
    """Print each row as a block of lines, one line per column."""
    from rich.cells import cell_len

    print(title)
    width = max(map(cell_len, headings))
    for row in rows:
        print()
        for heading, cell in zip(headings, row):
            print(f"{heading:{width}}  {cell}".rstrip() if heading else cell)
    print(flush=True)


def environment_with_valid_size() -> dict[str, str]:
    """Return the environment without COLUMNS and LINES if they are not sizes of a terminal."""
    is_size = re.compile("[1-9][0-9]{0,4}").fullmatch
    named = ("COLUMNS", "LINES")
    return {
        name: value for name, value in os.environ.items() if name not in named or is_size(value)
    }


def new_console() -> "Console":
    """Return a rich console as wide as the terminal or COLUMNS."""
    from rich.console import Console

    return Console(_environ=environment_with_valid_size())


def table_console() -> "Console":
    """Return a rich console as wide as the terminal or COLUMNS; without either it has no limit."""
    console = new_console()
    if not console.is_terminal and "COLUMNS" not in environment_with_valid_size():
        console.width = UNLIMITED
    return console
