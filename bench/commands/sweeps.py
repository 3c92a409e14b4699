"""Commands for sweeps: ``bench sweep``, ``status``, ``report`` and ``claims``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.call import call
from bench.errors import InputError
from bench.system.printing import say
from bench.tracking.wandb_settings import WandbMode

if TYPE_CHECKING:
    from bench.sweep.driver import SweepOptions

# Largest number of keys in a message.
MOST_KEYS = 20


def sweep(arguments: list[str]) -> int:
    return call(run_sweep, "sweep", arguments)


# Its parameters are the command's options.
def run_sweep(
    name: str = "default",
    results: str = "results",
    address: str | None = None,
    workers: int | None = None,
    wandb: WandbMode = "auto",
    retry_failed: bool = False,
    only: str = "",
    max_failures: int | None = None,
    storage: str | None = None,
    dry_run: bool = False,
    wandb_sweep: bool = False,
    plugin: list[str] = [],
) -> int:
    """Run a sweep, write its tables, figures and page, and print its leaderboard.

    Args:
        name: Name under configs/sweep, or a path to a YAML file.
        results: Folder of all results.
        address: Address of a running Ray cluster, or RAY_ADDRESS; without one, starts one here.
        workers: Largest number of runs at once; as many as fit if not given. 0 does them one after
            another in this process, without Ray: for debuggers, notebooks, and a GPU without Ray.
        wandb: W&B mode; auto is online when logged in, else offline.
        retry_failed: Repeat failed runs.
        only: Do only the runs that meet these conditions: 'task=digits-17 model=realnvp seed=1,2',
            or have one of these keys: 'key=027e205e881aeb41'.
        max_failures: Stop when more runs than this have failed.
        storage: Folder or fsspec address (s3://…) for checkpoints, from which interrupted runs
            resume, also on another machine; beside the records if not given.
        dry_run: Print the runs, what is recorded of them and an estimate of the time; do nothing.
        wandb_sweep: Write RESULTS/NAME/wandb-sweep.yaml, with which `wandb sweep` and `wandb agent`
            do the same runs, and run nothing.
        plugin: Python file, entry point or module with parts of your own, which the sweep may then
            name. May be given several times.
    """
    from bench.configuration.load_plugin import load_plugins
    from bench.sweep.driver import SweepOptions
    from bench.tracking.wandb_settings import resolve_wandb_mode

    if max_failures is not None and max_failures < 0:
        raise InputError(f"max_failures: {max_failures} is negative")
    options = SweepOptions(
        address=ray_address(address, workers),
        workers=workers,
        wandb_mode=resolve_wandb_mode(wandb),
        retry_failed=retry_failed,
        only=only,
        max_failures=max_failures,
        storage=absolute_storage(storage),
    )
    load_plugins(plugin)
    action = show_sweep if dry_run else write_for_agents if wandb_sweep else drive_sweep
    return action(name, Path(results), options)


def show_sweep(name: str, results: Path, options: "SweepOptions") -> int:
    from bench.sweep.driver import make_plan
    from bench.sweep.dry_run import show_plan

    show_plan(make_plan(name, results, options), results, options)
    return 0


def write_for_agents(name: str, results: Path, options: "SweepOptions") -> int:
    from bench.sweep.driver import make_plan
    from bench.sweep.wandb_sweep import write_wandb_sweep

    path = write_wandb_sweep(make_plan(name, results, options), name, results)
    say(f"written: {path}; next: wandb sweep {path}")
    return 0


def drive_sweep(name: str, results: Path, options: "SweepOptions") -> int:
    from bench.sweep.driver import sweep as drive

    plan = drive(name, results, options)
    return write_report(plan.directory, chosen=plan.chosen)


def ray_address(given: str | None, workers: int | None) -> str | None:
    """Return the address of a running cluster; None starts one on this machine, or none at all.

    Raises:
        InputError: The number of workers is negative, or 0 on a given cluster.
    """
    if workers is not None and workers < 0:
        raise InputError(f"workers: {workers} is negative")
    if workers == 0:
        if given:
            raise InputError(
                f"workers: 0 does the runs in this process, and not on the cluster at {given}; leave "
                "one of the two out"
            )
        return None
    return given or os.environ.get("RAY_ADDRESS") or None


def absolute_storage(given: str | None) -> str | None:
    """Return the address, or the absolute path, of the storage.

    Raises:
        InputError: fsspec does not support the address.
    """
    if given is None or "://" not in given:
        return str(Path(given).absolute()) if given else None
    import fsspec

    try:
        fsspec.core.url_to_fs(given)
    except (ValueError, ImportError) as error:
        raise InputError(f"storage: {given}: {' '.join(str(error).split())}") from None
    return given


def status(arguments: list[str]) -> int:
    return call(run_status, "status", arguments)


def run_status(sweep: str = "default", results: str = "results") -> int:
    """Show the progress of a sweep, while it runs or afterwards.

    Args:
        sweep: The sweep's name.
        results: Folder of all results.
    """
    from bench.sweep.status import show_status

    return show_status(Path(results) / sweep)


def report(arguments: list[str]) -> int:
    return call(run_report, "report", arguments)


def run_report(sweep: str = "default", results: str = "results", readme: str | None = None) -> int:
    """Rebuild a sweep's tables, figures and page from its records, and print its leaderboard.

    Args:
        sweep: The sweep's name.
        results: Folder of all results.
        readme: README; also rewrite the leaderboard and published numbers between marks in it
            and in docs/ beside it.
    """
    return write_report(Path(results) / sweep, Path(readme) if readme else None)


def write_report(
    directory: Path, readme: Path | None = None, chosen: set[str] | None = None
) -> int:
    """Write a sweep's report, print its leaderboard; return 1 if a run failed or is missing, else 0.

    Args:
        directory: The sweep's folder.
        readme: README; also rewrite its tables and those of docs/ beside it.
        chosen: Keys of the runs that decide the returned value; None is all of them.
    """
    import pandas as pd

    from bench.records.manifest import missing_keys
    from bench.report.description import CRATE, NO_CRATE
    from bench.report.missing import missing_runs
    from bench.report.report import missing_for_page
    from bench.report.report import report as build_report
    from bench.report.tables import print_leaderboard

    board = build_report(directory, readme)
    print_leaderboard(board)
    page = "" if (library := missing_for_page()) else ", page.html"
    say(f"written: {directory}/runs.csv, leaderboard.csv, timings.csv, figures/{page}")
    if library:
        say(f"page.html is not written, because {library} is not installed")
    if not (directory / CRATE).exists():
        say(NO_CRATE)
    missing = missing_keys(directory)
    print_missing(missing, chosen)
    if missing:
        table = (directory / "runs.csv").read_text(encoding="utf-8")
        timings = (directory / "timings.csv").read_text(encoding="utf-8")
        say(missing_runs(directory, table, timings) or "")
    runs = pd.read_csv(directory / "runs.csv", usecols=["key", "status"], dtype=str)
    bad = {*missing, *runs["key"][runs["status"] != "ok"]}
    return 1 if bad and (chosen is None or bad & chosen) else 0


def print_missing(missing: list[str], chosen: set[str] | None) -> None:
    """Print which of the chosen runs (None: all) have no record, and how many others have none."""
    listed = [key for key in missing if chosen is None or key in chosen]
    if listed:
        keys = ", ".join(listed[:MOST_KEYS]) + (", …" if len(listed) > MOST_KEYS else "")
        say(f"{len(listed)} runs have no record and are not in the tables: {keys}")
    if len(listed) < len(missing):
        say(f"{len(missing) - len(listed)} runs that were not selected have no record yet")


def claims(arguments: list[str]) -> int:
    return call(run_claims, "claims", arguments)


def run_claims(
    name: str = "default",
    results: str = "results",
    address: str | None = None,
    workers: int | None = None,
    readme: str | None = None,
    plugin: list[str] = [],
) -> int:
    """Measure the lecture's claims; write claims.csv, figures and claims.html.

    Args:
        name: Name under configs/claims, or a path to a YAML file.
        results: Folder of all results; runs of a sweep of the same name in it are reused.
        address: Address of a running Ray cluster, or RAY_ADDRESS; without one, starts one here.
        workers: Largest number of runs at once on this machine; as many as fit if not given. 0 does
            them one after another in this process, without Ray.
        readme: README; also rewrite the table of verdicts between marks in it and in docs/.
        plugin: Python file, entry point or module with parts of your own, which the experiments may
            then name. May be given several times.
    """
    from bench.claims.driver import claims as drive
    from bench.claims.outcome import markdown, print_verdicts
    from bench.configuration.load_plugin import load_plugins
    from bench.report.pages import pages_with, rewrite_pages

    load_plugins(plugin)
    running = ray_address(address, workers)
    directory, table, failed = drive(name, Path(results), running, workers)
    print_verdicts(table)
    if readme:
        rewrite_pages(pages_with(Path(readme)), {("claims", directory.name): markdown(table)})
    say(f"written: {directory}/claims.csv, claims.html, figures/")
    for label in failed:
        say(f"failed, and not in the table: {' '.join(label.split())}")
    return 1 if failed else 0
