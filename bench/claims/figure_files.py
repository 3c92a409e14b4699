"""`make figures`: the figures of a sweep and of its claims as PNG, PDF or SVG, from what was measured."""

import sys
from pathlib import Path

from bench.claims.driver import Done
from bench.claims.experiments import read_experiments
from bench.claims.figures import draw_all
from bench.claims.outcome import CLAIMS_WITH_RECORDS, curves_of, records_for
from bench.configuration.files import CONFIGS
from bench.errors import InputError
from bench.report.plots import figures_of
from bench.report.png import FORMATS
from bench.report.reduce import leaderboard_table, load_sweep
from bench.report.report import drawn_records
from bench.system.files import write_atomically
from bench.system.printing import say


def write_figures(name: str, results: Path, form: str) -> list[Path]:
    """Write every figure of a sweep, and those of its claims that were measured. Returns the files.

    Args:
        name: The sweep.
        results: Folder of all results.
        form: png, pdf or svg.

    Raises:
        InputError: Another format, or no records.
    """
    if form not in FORMATS:
        raise InputError(f"figures: {form!r} is no format; there are {', '.join(FORMATS)}")
    directory = results / name
    records = load_sweep(directory)
    drawn = drawn_records(directory, records, leaderboard_table(records, name))
    figures = {directory / "figures" / path: own for path, own in figures_of(drawn, form).items()}
    if not figures:
        raise InputError(f"figures: {directory} has no records yet")
    for path, content in figures.items():
        write_atomically(path, content)
    return [*figures, *claim_figures(name, results, form)]


def claim_figures(name: str, results: Path, form: str) -> list[Path]:
    """Write the figures of a sweep's claims that were measured by this code. Returns the files."""
    if not (CONFIGS / "claims" / f"{name}.yaml").is_file():
        return []
    items, sweep = read_experiments(name, results)
    done = Done(results / sweep)
    for item in items:
        done.read(item)
    if not done.measurements:
        say(f"no claim of {name} was measured by this code: `make claims SWEEP={name}` does")
        return []
    shown = {claim: records_for(claim, items, done.records) for claim in CLAIMS_WITH_RECORDS}
    folder = results / sweep / "figures"
    front, figures = draw_all(shown, curves_of(done.measurements), folder, form)
    return [path for own in (front, *figures.values()) for path, _ in own]


def main(words: list[str]) -> int:
    """Draw the figures that the command line names: SWEEP RESULTS FORMAT."""
    name, results, form = words
    try:
        for path in write_figures(name, Path(results), form):
            say(f"written: {path}")
    except InputError as error:
        say(error, sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
