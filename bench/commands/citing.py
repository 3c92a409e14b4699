"""Commands for citations: ``bench cite`` and ``bench verify``."""

import sys
from pathlib import Path

from bench.commands.call import call
from bench.errors import InputError
from bench.system.printing import say


def cite(arguments: list[str]) -> int:
    return call(run_cite, "cite", arguments)


def run_cite(key: str, results: str = "results") -> int:
    """Print what to cite for a run, or for a row of a leaderboard.

    Args:
        key: A run's key or its beginning; or conditions such as 'task=digits-17 model=realnvp'.
        results: Folder of all results.
    """
    from bench.records.tables import all_runs, chosen_rows, read_runs
    from bench.report.citation import citation

    paths = all_runs(Path(results))
    if not paths:
        raise InputError(
            f"cite: no sweep in {results} has a runs.csv; `make sweep` and `make report` write one; "
            "--results is the folder of all sweeps"
        )
    found, left_out = 0, []
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
        for line in citation(rows, path.parent).split("\n"):
            say(line)
        found += 1
    if not found:
        reason = f"cite: no row of {len(paths)} tables under {results} matches '{key}'"
        raise InputError("; ".join([reason, *left_out]))
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
