"""The command ``bench compare``."""

import sys
from typing import TYPE_CHECKING

from bench.commands.call import call
from bench.errors import InputError
from bench.system.printing import number, print_table, say

if TYPE_CHECKING:
    from bench.report.side_by_side import Side


def compare(arguments: list[str]) -> int:
    return call(run_compare, "compare", arguments)


def run_compare(keys: list[str], results: str = "results") -> int:
    """Show two runs, or two rows with all their seeds, side by side.

    Args:
        keys: Two of them: a run's key or its beginning, or conditions such as 'task=digits-17
            model=realnvp', which name a row with all its seeds.
        results: Folder of all results.
    """
    from bench.report.side_by_side import check_comparable, options_that_differ, seeds_shared

    if len(keys) != 2:
        raise InputError(f"compare: takes two runs or rows, not {len(keys)}")
    first, second = (side_of(key, results) for key in keys)
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
    print_differences(first, second)
    shared = seeds_shared(first, second)
    if len(shared) > 1:
        say(f"Differences and intervals are paired over {len(shared)} shared seeds (Student's t).")
    else:
        say(
            "Intervals are of the Monte-Carlo errors alone: with one shared seed they do not say how "
            "much other seeds would differ. No interval: an error is not known."
        )
    return 0


def side_of(key: str, results: str) -> "Side":
    """Return the runs that a key or conditions name. Raises InputError unless one folder has them."""
    from bench.commands.citing import found_rows
    from bench.report.side_by_side import Side

    found, left_out = found_rows(key, results, "compare")
    for line in left_out:
        say(f"bench: {line}", sys.stderr)
    if len(found) > 1:
        raise InputError(
            f"compare: '{key}' is in {', '.join(map(str, found))}; add sweep=NAME to say which"
        )
    [(directory, rows)] = found.items()
    return Side(directory, rows)


def print_differences(first: "Side", second: "Side") -> None:
    """Print a table of the numbers of both sides for each split."""
    from bench.report.side_by_side import MEASURED, decimals_of, differences

    for split in first.rows["split"].unique():
        rows = []
        for one in differences(first, second, split):
            name = f"{one.name} ({MEASURED[one.name]})".replace(" ()", "")
            places = decimals_of(one)
            values = [number(one.first, places), number(one.second, places)]
            values.append(number(one.difference, places, "+"))
            ends = [number(end, places, "+") for end in (one.low, one.high) if end is not None]
            rows.append([name, *values, " to ".join(ends) or "–"])
        headings = ["", "first", "second", "second − first", "95 % interval"]
        print_table(split, headings, rows, texts={0})
