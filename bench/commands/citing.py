"""Commands for citations: ``bench cite``, ``bench export`` and ``bench verify``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.call import call
from bench.errors import InputError
from bench.system.printing import say

if TYPE_CHECKING:
    import pandas as pd


def cite(arguments: list[str]) -> int:
    return call(run_cite, "cite", arguments)


def run_cite(key: str, results: str = "results", bibtex: bool = False) -> int:
    """Print what to cite for a run, for a row of a leaderboard, or for that of a submission.

    Args:
        key: A run's key or its beginning; or conditions such as 'task=digits-17 model=realnvp'.
        results: Folder of all results, or of a board that submissions were added to.
        bibtex: Print BibTeX entries: of the code at its commit, and of the row; of a submission its
            own, and of the row with its level of verification.
    """
    from bench.report.bibtex import bibtex as entries
    from bench.report.citation import citation
    from bench.submissions import cited

    submitted = cited.cited_rows(Path(results), key)
    try:
        found, left_out = found_rows(key, results, "cite")
    except InputError:
        if not submitted:
            raise
        found, left_out = {}, []
    if bibtex:
        texts = [entries(found)] if found else []
    else:
        texts = [citation(rows, directory) for directory, rows in found.items()]
    texts += [cited.bibtex(row) if bibtex else cited.text(row) for row in submitted]
    for line in "\n".join(texts).split("\n"):
        say(line)
    for line in left_out:
        say(f"bench: {line}", sys.stderr)
    return 0


def found_rows(
    key: str, results: str, command: str
) -> "tuple[dict[Path, pd.DataFrame], list[str]]":
    """Return {folder: rows of its runs.csv} that ``key`` names, and lines on tables that were left out.

    Raises:
        InputError: No table has such a row.
    """
    from bench.records.tables import all_runs, chosen_rows, read_runs

    paths = all_runs(Path(results))
    if not paths:
        raise InputError(
            f"{command}: no sweep in {results} has a runs.csv; `make sweep` and `make report` write "
            "one; --results is the folder of all sweeps"
        )
    found, left_out = {}, []
    for path in paths:
        try:
            table = read_runs(path)
        except InputError as error:
            # The key may be in this table.
            left_out.append(f"left out: {error}")
            continue
        try:
            rows = chosen_rows(table, key, str(path))
        except InputError:
            continue
        found[path.parent] = rows
    if not found:
        reason = f"{command}: no row of {len(paths)} tables under {results} matches '{key}'"
        raise InputError("; ".join([reason, *left_out]))
    return found, left_out


def export(arguments: list[str]) -> int:
    return call(run_export, "export", arguments)


def run_export(
    key: str, results: str = "results", url: str | None = None, output: str | None = None
) -> int:
    """Write a row's results on test as a model card for model hubs (`model-index`); nothing is sent.

    Args:
        key: A run's key or its beginning; or conditions such as 'task=digits-17 model=realnvp'.
        results: Folder of all results.
        url: Address at which readers find the results; the card names no source without one.
        output: Markdown file to write, which must not be there yet; the card is printed if not given.
    """
    from bench.report.model_index import model_card
    from bench.system.files import is_there, refuse_unwritable, write_atomically

    if url is not None and not url.startswith(("https://", "http://")):
        raise InputError(f"url: '{url}' is not an address that begins with https:// or http://")
    if output is not None and is_there(Path(output)):
        raise InputError(
            f"output: {output} is there already, and a card holds more than its results"
        )
    found, left_out = found_rows(key, results, "export")
    rows = [
        (directory, group)
        for directory, table in found.items()
        for _, group in table.groupby(["task", "model"], sort=False)
    ]
    if len(rows) > 1:
        named = "; ".join(
            f"task={group['task'].iloc[0]} model={group['model'].iloc[0]} in {directory}"
            for directory, group in rows[:5]
        )
        raise InputError(
            f"export: '{key}' matches {len(rows)} rows, and a card is of one: {named}"
            f"{'; …' if len(rows) > 5 else ''}; --results chooses a folder"
        )
    directory, chosen = rows[0]
    card = model_card(chosen, directory, url)
    if output is None:
        for line in card.rstrip("\n").split("\n"):
            say(line)
    else:
        refuse_unwritable([Path(output)], "export")
        write_atomically(Path(output), card)
        say(f"written: {output}")
    for line in left_out:
        say(f"bench: {line}", sys.stderr)
    return 0


def verify(arguments: list[str]) -> int:
    return call(run_verify, "verify", arguments)


def run_verify(
    table: str,
    row: str = "",
    evaluate_only: str | None = None,
    plugin: list[str] = [],
    data_path: str = "",
) -> int:
    """Repeat the runs of cited rows from their recorded configuration, and compare the numbers.

    Args:
        table: A leaderboard.csv or runs.csv; both must be in the same folder.
        row: A run's key, or conditions such as 'task=digits-17 model=realnvp'; every row if empty.
        evaluate_only: A run's best.ckpt; evaluate it again instead of training.
        plugin: Python file, entry point or module with parts that a run's model is made of. May be
            given several times.
        data_path: Images of your own that a run was trained on, as for `bench train`.
    """
    from bench.commands.outside import take
    from bench.commands.time_left import telling_time_left
    from bench.sweep.verify import verify as verify_rows
    from bench.sweep.verify import verify_checkpoint

    take(plugin, data_path)
    with telling_time_left() as progress:
        if evaluate_only is None:
            verdicts = verify_rows(Path(table), row, progress)
        else:
            verdicts = verify_checkpoint(Path(table), row, Path(evaluate_only), progress)
    for verdict in verdicts:
        say(f"{verdict.outcome:10} {verdict.key}  {verdict.label}")
        if verdict.devices:
            say(f"           {verdict.devices}")
        for reason in verdict.reasons:
            say(f"           {reason}")
    good = sum(verdict.is_good for verdict in verdicts)
    say(f"{good} of {len(verdicts)} runs verified")
    return 0 if all(verdict.is_good for verdict in verdicts) else 1
