"""BibTeX entries for a row's code and numbers."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bench.report.citation import Code, codes_of, numbers_of, seeds_of
from bench.report.published_tables import PublishedTables
from bench.system.checkout import date_of

# What TeX reads as commands, as text. Braces are commands too: BibTeX counts those that are escaped.
SPECIAL = {
    "\\": "{\\textbackslash}",
    "{": "{\\textbraceleft}",
    "}": "{\\textbraceright}",
    "~": "{\\textasciitilde}",
    "^": "{\\textasciicircum}",
    **{letter: f"\\{letter}" for letter in "$&#_%"},
}
TITLE = "Likelihood Bench: a reproducible benchmark of likelihood-based deep generative models"
AUTHORS = "The Likelihood Bench authors"


def bibtex(tables: Mapping[Path, pd.DataFrame]) -> str:
    """Return BibTeX entries: one for each code that made the runs, and one for each row.

    Every entry is of the type misc, which BibTeX and biblatex both have. The year is the commit's,
    where the history of this checkout has it.

    Args:
        tables: {folder of a runs.csv: its chosen rows}, as ``read_runs`` returns them.

    Raises:
        InputError: A record is damaged or contradicts itself.
    """
    software: dict[str, str] = {}
    rows = []
    for directory, table in tables.items():
        for (task, model), group in table.groupby(["task", "model"], sort=False):
            codes = codes_of(group.drop_duplicates("key"), directory)
            software |= {label_of(code): code_entry(code) for code in codes}
            rows.append(row_entry(f"{task}, {model}", group, directory, list(codes)))
    return "\n".join([*software.values(), *rows]).rstrip("\n")


def label_of(code: Code) -> str:
    """Return the citation key of a code."""
    state = "-dirty" if code.is_dirty else ""
    known = code.commit or code.code_sha256 or "unknown"
    return f"likelihood-bench-{known[:12]}{state}"


def code_entry(code: Code) -> str:
    parts = [f"commit {code.commit}" if code.commit else f"commit unknown: {code.unknown}"]
    parts += [f"SHA-256 of the code {code.code_sha256}"] if code.code_sha256 else []
    fields = {
        "author": f"{{{latex_text(AUTHORS)}}}",  # the inner braces keep it one name
        "title": latex_text(TITLE),
        "version": latex_text(code.version) if code.version else None,
        "year": year_of([code]),
        "note": latex_text("; ".join(["Software", *parts, *code.warnings])),
    }
    return entry(label_of(code), fields)


def row_entry(name: str, group: pd.DataFrame, directory: Path, codes: list[Code]) -> str:
    """Return the entry of one row of a leaderboard, or of those of its runs that were chosen."""
    runs = [run for _, run in group.drop_duplicates("key").iterrows()]
    keys = [str(run["key"]) for run in runs]
    bits, samples = numbers_of(group[group["split"] == "test"])
    commits = ", ".join(code.commit or f"unknown ({code.unknown})" for code in codes)
    parts = [
        f"Data: rows of {directory}/runs.csv",
        f"{bits or 'no number: failed'} bits/dim on test{samples}",
        f"key {', '.join(keys)}",
        f"commit {commits}",
        f"SHA-256 of the data {', '.join(map(str, group['data_sha256'].dropna().unique()))}",
        *dict.fromkeys(warning for code in codes for warning in code.warnings),
    ]
    # Two tables may hold the same run. Who ran it is in no record; styles sort by the field key then.
    place = hashlib.sha256("\n".join([str(directory), *keys]).encode()).hexdigest()[:8]
    fields = {
        "key": "Likelihood Bench",
        "title": latex_text(f"Likelihood Bench: {name}, seed {seeds_of(runs)}"),
        "year": year_of(codes),
        "note": latex_text("; ".join(parts)),
    }
    return entry(f"likelihood-bench-{keys[0]}-{place}", fields)


def tables_entry(tables: PublishedTables) -> str:
    """Return the entry of all tables of a sweep."""
    commits = ", ".join(sorted(set(tables.runs["commit"].dropna()))) or "unknown"
    digest = tables.sha256("runs.csv")
    fields = {
        "key": "Likelihood Bench",
        "title": latex_text(tables.title),
        "year": tables.date[:4] if tables.date else None,
        "note": latex_text(f"Data: SHA-256 of runs.csv {digest}; commit {commits}"),
    }
    return entry(f"{tables.name}-{digest[:8]}", fields)


def year_of(codes: list[Code]) -> str | None:
    """Return the year of the newest commit; None if one is not known."""
    days = [code.commit and date_of(code.commit) for code in codes]
    known = [day for day in days if day]
    return max(known)[:4] if known and len(known) == len(days) else None


def latex_text(text: str) -> str:
    """Return text as TeX shows it, whatever characters it has."""
    plain = re.sub(r"[\x00-\x1f\x7f]+", " ", text)
    return "".join(SPECIAL.get(letter, letter) for letter in plain)


def entry(label: str, fields: Mapping[str, str | None]) -> str:
    lines = [f"  {name} = {{{text}}}," for name, text in fields.items() if text is not None]
    return "\n".join([f"@misc{{{label},", *lines, "}", ""])
