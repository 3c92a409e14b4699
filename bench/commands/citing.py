"""Commands for those who cite: ``bench cite`` and ``bench verify``."""

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
            f"cite: no sweep with a runs.csv in {results}; `make sweep` or `make report` makes one, and "
            "--results is the folder of all sweeps"
        )
    found, left_out = 0, []
    for path in paths:
        try:
            table = read_runs(path)
        except InputError as error:
            # It may be the one that is meant.
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
        reason = f"cite: no row of {len(paths)} tables under {results} has '{key}'"
        raise InputError("; ".join([reason, *left_out]))
    for line in left_out:
        say(f"bench: {line}", sys.stderr)
    return 0


def verify(arguments: list[str]) -> int:
    return call(run_verify, "verify", arguments)


def run_verify(table: str, row: str = "", evaluate_only: str | None = None) -> int:
    """Run cited rows again from their recorded configuration, and judge the numbers.

    Args:
        table: A leaderboard.csv or runs.csv; both must stand side by side.
        row: A run's key, or conditions such as 'task=digits-17 model=realnvp'; every row if empty.
        evaluate_only: A run's best.ckpt, which is evaluated again instead of training.
    """
    from bench.commands.time_left import telling_time_left
    from bench.sweep.verify import verify as again
    from bench.sweep.verify import verify_checkpoint

    with telling_time_left() as report:
        if evaluate_only is None:
            verdicts = again(Path(table), row, report)
        else:
            verdicts = verify_checkpoint(Path(table), row, Path(evaluate_only), report)
    for verdict in verdicts:
        say(f"{verdict.outcome:10} {verdict.key}  {verdict.label}")
        for reason in verdict.reasons:
            say(f"           {reason}")
    good = sum(verdict.is_good for verdict in verdicts)
    say(f"{good} of {len(verdicts)} runs verified")
    return 0 if all(verdict.is_good for verdict in verdicts) else 1
