"""What to cite for a submission's row on a board: its own entry, the board's, and its level."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.errors import InputError
from bench.records.row import samples_text
from bench.records.tables import conditions
from bench.report.bibtex import entry as bibtex_entry
from bench.report.bibtex import latex_text
from bench.submissions.board import Entry, Version, read_versions
from bench.submissions.contents import text_of
from bench.submissions.description import Submission, read_submission
from bench.submissions.shown import MEANINGS
from bench.system.printing import number


@dataclass(frozen=True)
class CitedRow:
    """A row that a submission has in the newest version of a board.

    Attributes:
        board: The board's folder.
        version: The version.
        entry: Its entry there.
        submission: The submission beside the board.
        row: The row of leaderboard-vN.csv.
    """

    board: Path
    version: Version
    entry: Entry
    submission: Submission
    row: pd.Series

    @property
    def table(self) -> Path:
        return self.board / f"{self.version.name}.csv"

    @property
    def seeds(self) -> str:
        return ", ".join(str(claim.seed) for claim in self.submission.seeds)

    @property
    def keys(self) -> list[str]:
        """The keys of its records; none of numbers alone."""
        return [record["key"] for record in self.submission.records]

    @property
    def result(self) -> str:
        """The mean over its seeds, and K."""
        bits = self.row["bits_per_dim"]
        shown = "none: failed" if pd.isna(bits) else number(bits, 4)
        samples = self.row["importance_samples"]
        bound = "several K" if pd.isna(samples) else samples_text([samples])
        return f"{shown} bits/dim on test, mean of seeds {self.seeds}, {bound}"


def cited_rows(results: Path, wanted: str) -> list[CitedRow]:
    """Return the rows of submissions that ``wanted`` names, on the boards of a folder of results.

    Args:
        results: A board's folder, or the folder of several.
        wanted: The key of a submission's record or its beginning; or conditions such as
            "task=digits-17 model=Theirs".

    Raises:
        InputError: A board or a submission on it is damaged, or a condition names another column.
    """
    found = []
    for board in [results, *sorted(results.glob("*"))]:
        versions = read_versions(board) if board.is_dir() else []
        if not versions:
            continue
        table = pd.read_csv(board / f"{versions[-1].name}.csv", float_precision="round_trip")
        for one in versions[-1].entries:
            submission = read_submission(board / one.folder, without_weights=True)
            if is_wanted(submission, wanted):
                is_own = table["submission"] == one.folder
                found.append(CitedRow(board, versions[-1], one, submission, table[is_own].iloc[0]))
    return found


def is_wanted(submission: Submission, wanted: str) -> bool:
    if "=" not in wanted:
        key = wanted.strip()
        return bool(key) and any(r["key"].startswith(key) for r in submission.records)
    named = {"task": submission.task, "model": submission.name}
    try:
        own = conditions(wanted, pd.DataFrame([named]))
        return all(named[name] == value for name, value in own)
    except InputError:  # a column of runs.csv that a submission does not have
        return False


def text(cited: CitedRow) -> str:
    """Return what to cite for a row, as lines of text."""
    submission, level = cited.submission, cited.entry.level
    lines = [
        f"Likelihood Bench, {cited.table}",
        "",
        f"  row      {submission.task}, {submission.name}, seed {cited.seeds}",
        f"  level    {level}: {MEANINGS[level]}",
        f"  result   {cited.result}",
        f"  data     sha256 {cited.row['data_sha256']}",
        f"  key      {' '.join(cited.keys) or 'none: numbers without records'}",
        f"  folder   {cited.board / cited.entry.folder}, sha256 {cited.entry.sha256}",
        f"  licence  {submission.licence}",
        f"  cite     {submission.citation} in its citation, and this table; --bibtex prints both",
    ]
    if cited.entry.isolation:
        lines.append(f"  made     in a process of its own; {cited.entry.isolation}")
    return "\n".join(lines)


def bibtex(cited: CitedRow) -> str:
    """Return the submitter's BibTeX, and an entry of the row with its level."""
    submission, level = cited.submission, cited.entry.level
    parts = [
        f"Data: row of {cited.table}",
        f"level of verification: {level} ({MEANINGS[level]})",
        cited.result,
        *([f"key {', '.join(cited.keys)}"] if cited.keys else []),
        f"SHA-256 of submission.yaml {cited.entry.sha256}",
        f"SHA-256 of the data {cited.row['data_sha256']}",
        f"model: see {submission.citation}",
    ]
    place = hashlib.sha256(f"{cited.board}\n{cited.version.name}".encode()).hexdigest()[:8]
    title = f"Likelihood Bench: {submission.task}, {submission.name}, seed {cited.seeds}"
    fields = {
        "key": "Likelihood Bench",
        "title": latex_text(title),
        "note": latex_text("; ".join(parts)),
    }
    own = text_of(submission.folder, submission.says["citation"]).strip()
    return f"{own}\n\n{bibtex_entry(f'likelihood-bench-{cited.entry.sha256[:16]}-{place}', fields)}"
