"""The command ``bench compare``."""

import sys

from bench.commands.call import call
from bench.errors import InputError
from bench.system.printing import number, print_table, say


def compare(arguments: list[str]) -> int:
    return call(run_compare, "compare", arguments)


def run_compare(keys: list[str], results: str = "results") -> int:
    """Show two runs, or two rows with all their seeds, side by side.

    Args:
        keys: Two of them: a run's key or its beginning, or conditions such as 'task=digits-17
            model=realnvp', which name a row with all its seeds.
        results: Folder of all results.
    """
    from bench.commands.citing import found_rows
    from bench.report.side_by_side import (
        MEASURED,
        Side,
        check_comparable,
        differences,
        options_that_differ,
        seeds_shared,
    )

    if len(keys) != 2:
        raise InputError(f"compare: takes two runs or rows, and {len(keys)} are given")
    sides = []
    for key in keys:
        found, left_out = found_rows(key, results, "compare")
        for line in left_out:
            say(f"bench: {line}", sys.stderr)
        if len(found) > 1:
            folders = ", ".join(map(str, found))
            raise InputError(
                f"compare: '{key}' is in {folders}; --results chooses a folder of sweeps"
            )
        sides += [Side(directory, rows) for directory, rows in found.items()]
    first, second = sides
    check_comparable(first, second)
    say(f"first:  {first.title}")
    say(f"second: {second.title}")
    options = options_that_differ(first, second)
    if options is None:
        say("options: not known, because a record of these runs is not in the folder")
    elif options:
        shown = [list(option) for option in options]
        print_table("options that differ", ["", "first", "second"], shown, texts={0, 1, 2})
    else:
        say("options: none differ but the seed")
    for split in first.rows["split"].unique():
        rows = [
            [
                f"{one.name} ({MEASURED[one.name]})".replace(" ()", ""),
                *(number(value, 4) for value in (one.first, one.second)),
                number(one.difference, 4, "+"),
                "–"
                if one.low is None or one.high is None
                else f"{number(one.low, 4, '+')} to {number(one.high, 4, '+')}",
            ]
            for one in differences(first, second, split)
        ]
        title = ["", "first", "second", "second − first", "95 % interval"]
        print_table(split, title, rows, texts={0})
    shared = seeds_shared(first, second)
    if len(shared) > 1:
        say(
            f"Differences and intervals are paired over the {len(shared)} shared seeds (Student's t)."
        )
    else:
        say(
            "Intervals are of the Monte-Carlo errors alone: with one shared seed they do not say how "
            "much other seeds would differ. No interval: an error is not known."
        )
    return 0
