"""What each command of ``bench`` does with its options."""

import json
import os
from collections.abc import Callable
from inspect import signature
from itertools import takewhile
from pathlib import Path
from typing import Literal, get_origin

from bench.errors import InputError

WandbMode = Literal["auto", "offline", "online", "disabled"]


def call(function: Callable[..., int], name: str, arguments: list[str]) -> int:
    """Call ``function`` with options parsed by its signature and explained by its docstring.

    Words before the first option are the value, or the values, of its first parameter.
    """
    import jsonargparse

    from bench.parsing import one_line

    parser = jsonargparse.ArgumentParser(
        prog=f"bench {name}", exit_on_error=False, allow_abbrev=False
    )
    parser.add_function_arguments(function)
    leading = list(takewhile(lambda word: not word.startswith("-"), arguments))
    if leading:
        first = next(iter(signature(function).parameters.values()))
        taken = leading if get_origin(first.annotation) is list else leading[:1]
        value = json.dumps(taken) if taken is leading else taken[0]
        arguments = [f"--{first.name}={value}", *arguments[len(taken) :]]
    try:
        options = parser.parse_args(arguments).as_dict()
    except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
        raise InputError(one_line(error)) from None
    return function(**options)


def train(arguments: list[str]) -> int:
    """Do one run, print its numbers and write its record."""
    from bench.parsing import make_parser, parse_run
    from bench.tracking import resolve_wandb_mode

    parser = make_parser()
    parser.add_argument(
        "--output", type=str, default="results/train", help="Folder that gets runs/KEY/record.json."
    )
    parser.add_argument(
        "--wandb", type=WandbMode, default="auto", help="W&B mode; auto is online when logged in."
    )
    options = parse_run(arguments, parser)
    output, wandb = Path(options.pop("output")), options.pop("wandb")
    return train_one(options, model_name(arguments), output, resolve_wandb_mode(wandb))


def model_name(arguments: list[str]) -> str:
    """Return the name behind --model, which the record keeps beside the configuration."""
    for position, word in enumerate(arguments):
        option, _, value = word.partition("=")
        if option == "--model":
            return Path(value or arguments[position + 1]).stem
    return "model"


def train_one(config: dict, model: str, output: Path, wandb: str) -> int:
    from bench.config import Job, key_of
    from bench.record import write_record
    from bench.report.tables import print_estimates
    from bench.sweep.driver import check_buildable, locked

    key = key_of(config)
    directory = output / "runs" / key
    job = Job(config, model, output.name, str(directory.absolute()), wandb)
    check_buildable([job])
    from bench.run import run

    with locked(output):
        record = run(job, print_progress())
        path = write_record(output / "runs", record)
    if record["status"] != "ok":
        print(f"failed: {record['reason']}; details in {directory / 'error.txt'}")
        return 1
    print(f"{record['task']}, {model}, seed {config['seed']}: {record['epochs']} epochs")
    print_estimates(record["metrics"])
    print(f"record: {path}")
    return 0


def print_progress() -> Callable[[str, float, str], None]:
    """Return a reporter that prints a line every few seconds."""
    import time

    started = last = time.monotonic()

    def report(phase: str, share: float, text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 5:
            last = now
            print(f"{phase} {share:4.0%} after {now - started:.0f} s  {text}", flush=True)

    return report


def sweep(arguments: list[str]) -> int:
    return call(run_sweep, "sweep", arguments)


def run_sweep(
    name: str = "default",
    results: str = "results",
    address: str | None = None,
    workers: int | None = None,
    wandb: WandbMode = "auto",
    retry_failed: bool = False,
) -> int:
    """Run a sweep, write its tables and figures, and print its leaderboard.

    Args:
        name: Name under configs/sweep, or a path to a YAML file.
        results: Folder of all results.
        address: Address of a running Ray cluster (also RAY_ADDRESS); else one is started here.
        workers: Largest number of runs at once on this machine; as many as fit if not given.
        wandb: W&B mode; auto is online when logged in, else offline.
        retry_failed: Do failed runs again.
    """
    from bench.sweep.driver import sweep as drive
    from bench.tracking import resolve_wandb_mode

    if workers is not None and workers < 1:
        raise InputError(f"workers: {workers} is less than 1")
    address = address or os.environ.get("RAY_ADDRESS") or None
    directory = drive(
        name, Path(results), address, workers, resolve_wandb_mode(wandb), retry_failed
    )
    return write_report(directory)


def report(arguments: list[str]) -> int:
    return call(run_report, "report", arguments)


def run_report(sweep: str = "default", results: str = "results", readme: str | None = None) -> int:
    """Rebuild a sweep's tables and figures from its records, and print its leaderboard.

    Args:
        sweep: The sweep's name.
        results: Folder of all results.
        readme: Markdown file whose leaderboard, between its marks, is rewritten too.
    """
    return write_report(Path(results) / sweep, Path(readme) if readme else None)


def write_report(directory: Path, readme: Path | None = None) -> int:
    from bench.report.reduce import missing_keys
    from bench.report.report import report as reduce
    from bench.report.tables import print_leaderboard

    board = reduce(directory, readme)
    print_leaderboard(board)
    print(f"written: {directory}/runs.csv, leaderboard.csv, timings.csv, figures/")
    missing = missing_keys(directory)
    if missing:
        print(f"{len(missing)} runs have no record and are not in the tables: {', '.join(missing)}")
    return 1 if missing or board["failed"].any() else 0


def evaluate(arguments: list[str]) -> int:
    return call(run_evaluate, "evaluate", arguments)


def run_evaluate(
    checkpoint: str,
    importance_samples: int | None = None,
    importance_data: int | None = None,
    elbo_samples: int | None = None,
    output: str | None = None,
) -> int:
    """Measure a trained model on the train and test split of its task.

    Args:
        checkpoint: A best.ckpt or last.ckpt that a run wrote.
        importance_samples: K of the importance-weighted bound, if not that of the run.
        importance_data: Take L_K over the first so many data at most, if not as the run did.
        elbo_samples: Samples per datum for the ELBO and its surgery, if not those of the run.
        output: JSON file to write the estimates to.
    """
    from bench.config import EvaluationConfig
    from bench.report.tables import print_estimates
    from bench.run import device_of_this_process, evaluate_model
    from bench.trained import load_trained

    trained = load_trained(Path(checkpoint))
    data, config = trained.data, trained.config
    changes = {
        "importance_samples": importance_samples,
        "importance_data": importance_data,
        "elbo_samples": elbo_samples,
    }
    config["evaluation"] |= {name: value for name, value in changes.items() if value is not None}
    EvaluationConfig(**config["evaluation"])
    device = device_of_this_process()
    metrics, _ = evaluate_model(trained.model, data, config, device, print_progress())
    print(f"{data.task.name}, {trained.name}, seed {config['seed']}, epoch {trained.epoch}")
    print_estimates(metrics)
    if output is not None:
        from bench.record import write_atomically

        write_atomically(Path(output), json.dumps(metrics, indent=1, sort_keys=True) + "\n")
    return 0


def claims(arguments: list[str]) -> int:
    return call(run_claims, "claims", arguments)


def run_claims(
    name: str = "default",
    results: str = "results",
    address: str | None = None,
    workers: int | None = None,
) -> int:
    """Measure the lecture's claims; write claims.csv, figures and claims.html.

    Args:
        name: Name under configs/claims, or a path to a YAML file.
        results: Folder of all results; what a sweep of that name trained there is used.
        address: Address of a running Ray cluster (also RAY_ADDRESS); else one is started here.
        workers: Largest number of runs at once on this machine; as many as fit if not given.
    """
    from bench.claims.driver import claims as drive
    from bench.claims.outcome import print_verdicts

    if workers is not None and workers < 1:
        raise InputError(f"workers: {workers} is less than 1")
    address = address or os.environ.get("RAY_ADDRESS") or None
    directory, table, failed = drive(name, Path(results), address, workers)
    print_verdicts(table)
    print(f"written: {directory}/claims.csv, claims.html, figures/")
    for label in failed:
        print(f"failed, and not in the table: {' '.join(label.split())}")
    return 1 if failed else 0


def calibrate(arguments: list[str]) -> int:
    return call(run_calibrate, "calibrate", arguments)


def run_calibrate(results: str = "results") -> int:
    """Hold every estimator against a known truth and write calibration/calibration.csv.

    Args:
        results: Folder of all results.
    """
    from bench.calibrate import calibrate as measure_all

    directory = Path(results) / "calibration"
    table = measure_all(directory)
    good = int(table["calibrated"].sum())
    print(f"{good} of {len(table)} estimators calibrated: {directory / 'calibration.csv'}")
    return 0 if good == len(table) else 1


def data(arguments: list[str]) -> int:
    return call(run_data, "data", arguments)


def run_data(
    names: list[Literal["mnist", "fashion_mnist", "cifar10"]] = ["mnist", "fashion_mnist"],
) -> int:
    """Make data sets available, checked by the hash of their payload.

    Args:
        names: Data sets: mnist, fashion_mnist, cifar10.
    """
    from bench.data.fetch import fetch

    failures = []
    for name in names:
        try:
            print(fetch(name), flush=True)
        except InputError as error:
            failures.append(str(error))
    if failures:
        raise InputError("; ".join(failures))
    return 0
