"""Commands for rows of others: ``bench submit`` and ``bench leaderboard``."""

from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from bench.commands.call import call
from bench.errors import InputError
from bench.system.printing import say

if TYPE_CHECKING:
    import pandas as pd

    from bench.records.types import Record
    from bench.submissions.again import How
    from bench.submissions.board import Version
    from bench.submissions.description import Submission
    from bench.submissions.numbers import TaskFacts


def submit(arguments: list[str]) -> int:
    return call(run_submit, "submit", arguments)


# Its parameters are the command's options.
def run_submit(
    records: list[str],
    out: str,
    name: str,
    licence: str,
    bibtex: str,
    row: str = "",
    weights: list[str] = [],
    weights_url: list[str] = [],
    weights_sha256: list[str] = [],
    source: list[str] = [],
    recipe: str | None = None,
    budget: str | None = None,
) -> int:
    """Write a submission to a leaderboard: records, weights, source, licence and citation in a folder.

    Args:
        records: Folders of runs: of `bench score`, `bench train` or a sweep. The seeds of a model form
            one submission.
        out: Folder to write, which must not be there yet.
        name: The name of the row.
        licence: Licence of weights and source, as an SPDX expression: MIT, CC-BY-4.0.
        bibtex: File with the BibTeX entry to cite.
        row: Which of the records, if they are of several rows: 'task=digits-17 model=realnvp'.
        weights: File with weights of a seed. May be given several times.
        weights_url: Address at which the weights of a seed are, instead of a file; one for each seed.
        weights_sha256: SHA-256 of the file at that address; one for each.
        source: File of the model's code, or of a plugin's. May be given several times.
        recipe: FILE.py:NAME, among the source, of a function that trains: NAME(seed, path) writes
            weights to the path.
        budget: What a seed took, in a line.
    """
    from bench.submissions.submit import Given, found_records
    from bench.submissions.submit import submit as write

    given = Given(
        name,
        licence,
        Path(bibtex),
        [Path(path) for path in weights],
        weights_url,
        weights_sha256,
        [Path(path) for path in source],
        recipe,
        budget,
    )
    submission = write(found_records(records, row), given, Path(out))
    seeds = ", ".join(str(claim.seed) for claim in submission.seeds)
    say(f"written: {out}: {submission.task}, {submission.name}, seeds {seeds}")
    say(
        f"{out}/submission.yaml says that the recipe was chosen on validation data; change it if not"
    )
    if not any(claim.weights for claim in submission.seeds):
        say("without weights: the row can be claimed, and not evaluated")
    say(f"next: bench leaderboard add {quote(out)}")
    return 0


def leaderboard(arguments: list[str]) -> int:
    """Call the action that the first word names."""
    actions: dict[str, Callable[..., int]] = {
        "add": run_leaderboard,
        "freeze": run_freeze,
        "rescore": run_rescore,
    }
    if not arguments or arguments[0] not in (*actions, "--help", "-h"):
        raise InputError(f"leaderboard: say what to do: {', '.join(actions)}")
    if arguments[0] in ("--help", "-h"):
        say(
            f"usage: bench leaderboard {{{','.join(actions)}}} [options]; each explains itself by --help"
        )
        return 0
    return call(actions[arguments[0]], f"leaderboard {arguments[0]}", arguments[1:])


def run_leaderboard(
    folder: str,
    board: str = "results/board",
    evaluate: bool = False,
    retrain: bool = False,
    without_isolation: bool = False,
) -> int:
    """Check a submission and rank it beside a board's own runs. Nothing of it is executed unless asked.

    Args:
        folder: The submission's folder.
        board: Folder of the board: of a sweep, such as results/mnist, or one of submissions alone.
        evaluate: Make its numbers here, from its weights. This runs the submitter's code, in a process
            without network and without writing, if this system can prevent them.
        retrain: Make its weights here too, from its recipe.
        without_isolation: Run the submitter's code also where nothing can be prevented.
    """
    from bench.submissions.board import added, base_of
    from bench.submissions.description import read_submission
    from bench.submissions.numbers import checked_records, facts_of

    if evaluate and retrain:
        raise InputError("retrain: evaluates too; leave --evaluate out")
    if without_isolation and not (evaluate or retrain):
        raise InputError("without_isolation: nothing is run without --evaluate or --retrain")
    submission = read_submission(Path(folder))
    _, runs = base_of(Path(board))
    facts = facts_of(submission.task, runs)
    checked_records(submission, facts)
    made: tuple[str, list[Record], str] = ("claimed", [], "")
    if evaluate or retrain:
        how: How = "retrained" if retrain else "evaluated"
        check_can_be_added(Path(board), submission, how)
        made = made_from(submission, facts, how, without_isolation)
    version, table = added(Path(board), submission, made)
    show(Path(board), version, table, submission.task)
    return 0


def check_can_be_added(board: Path, submission: "Submission", how: "How") -> None:
    """Raise InputError if the row cannot be added, before its numbers are made at length."""
    from bench.submissions.board import (
        Entry,
        base_of,
        folder_of,
        open_version,
        read_versions,
        without_older,
    )

    entry = Entry(folder_of(submission), submission.sha256, how)
    version, (own, _) = open_version(read_versions(board)), base_of(board)
    without_older(board, version, entry, submission, own)


def made_from(
    submission: "Submission", facts: "TaskFacts", how: "How", without_isolation: bool
) -> "tuple[str, list[Record], str]":
    """Return the level, the records that were made here, and what was prevented meanwhile."""
    from bench.commands.time_left import telling_time_left
    from bench.submissions.again import made_here, runs_their_code

    if runs_their_code(submission):
        say("this runs code of the submission")
    with telling_time_left() as progress:
        progress(how, 0.0, "")
        records, found = made_here(submission, facts, how, not without_isolation)
    say(f"isolation: {found.in_words()}")
    return how, records, found.in_words()


def show(board: Path, version: "Version", table: "pd.DataFrame", task: str) -> None:
    from bench.submissions.shown import print_board

    print_board(table[table["task"] == task])
    say(f"written: {board / version.name}.csv, .html and .json")


def run_freeze(board: str = "results/board") -> int:
    """Close the open version of a board for ever; the next row opens another one.

    Args:
        board: Folder of the board.
    """
    from bench.submissions.board import freeze

    version = freeze(Path(board))
    say(f"frozen: {Path(board) / version.name}.csv, SHA-256 {version.csv_sha256}")
    return 0


def run_rescore(version: int, board: str = "results/board", output: str | None = None) -> int:
    """Make the table of a version anew from the records beside it, by today's code.

    Args:
        version: Its number.
        board: Folder of the board.
        output: CSV file to write, which must not be there yet; the table is printed alone if not given.
    """
    from bench.records.tables import csv_text
    from bench.submissions.board import rescored
    from bench.submissions.shown import print_board
    from bench.system.files import is_there, refuse_unwritable, write_atomically

    if output is not None:
        if is_there(Path(output)):
            raise InputError(f"output: {output} is there already")
        refuse_unwritable([Path(output)], "rescore")
    table = rescored(Path(board), version)
    print_board(table)
    if output is not None:
        write_atomically(Path(output), csv_text(table))
        say(f"written: {output}")
    return 0
