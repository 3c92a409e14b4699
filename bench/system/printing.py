"""What is printed: text of others on one line, numbers that stay short, tables that fit."""

import codecs
import io
import os
import re
import sys
from collections.abc import Container
from typing import TextIO

from bench.errors import escaped

# What stands for a character that an output's encoding does not have; others are written as \x….
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
}
# From here on digits before the point say nothing any more, and no table has room for them.
HUGE = 1e7
# Columns where the output is no terminal: nothing is broken off in a file.
UNLIMITED = 1000


def in_plain_characters(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding does not have; an error handler of ``codecs``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    plain = [PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in missing]
    return "".join(plain), error.end


codecs.register_error("bench.plain", in_plain_characters)


def take_every_character() -> None:
    """Let no character end a command, whatever the encoding of stdout and stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="bench.plain")


def printable(text: object) -> str:
    """Return text of others as one line that steers no terminal, in characters that stdout has."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return escaped(str(text)).encode(encoding, "bench.plain").decode(encoding)


def say(line: object, file: TextIO | None = None) -> None:
    """Print a line, whoever wrote what is in it; to stdout, if no other stream is given."""
    print(printable(line), file=file, flush=True)


def number(value: float, decimals: int, sign: str = "") -> str:
    """Return a number with so many decimals; a huge one in scientific notation, never cut."""
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
    """Print a table; where it is wider than the terminal, a block for each row instead.

    Args:
        title: What stands above.
        headings: The columns' headings.
        rows: Their cells.
        texts: Positions of the columns that hold text, which goes on in the next line where there
            is no room; all others hold numbers, which are never broken.
        red: Positions of the rows to be in red.
    """
    from rich.cells import cell_len
    from rich.markup import escape
    from rich.table import Table

    title, headings = printable(title), [printable(heading) for heading in headings]
    rows = [[printable(cell) for cell in row] for row in rows]
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
    console = table_console()
    unlimited = console.options.update(max_width=UNLIMITED)
    if console.measure(table, options=unlimited).minimum <= console.width:
        console.print(table)
        return
    print(title)
    width = max(map(cell_len, headings))
    for row in rows:
        print()
        for heading, cell in zip(headings, row):
            print(f"{heading:{width}}  {cell}".rstrip() if heading else cell)
    print(flush=True)


def sizes_given() -> dict[str, str]:
    """Return the environment, without COLUMNS and LINES where they are no sizes of a terminal."""
    is_size = re.compile("[1-9][0-9]{0,4}").fullmatch
    named = ("COLUMNS", "LINES")
    return {
        name: value for name, value in os.environ.items() if name not in named or is_size(value)
    }


def new_console():
    """Return a rich console as wide as the terminal, or COLUMNS."""
    from rich.console import Console

    return Console(_environ=sizes_given())


def table_console():
    """Return a rich console as wide as the terminal, or COLUMNS; elsewhere it has no limit."""
    console = new_console()
    if not console.is_terminal and "COLUMNS" not in sizes_given():
        console.width = UNLIMITED
    return console
