"""Commands for the instruments and the data: ``bench calibrate`` and ``bench data``."""

from pathlib import Path
from typing import Literal

from bench.commands.call import call
from bench.errors import InputError


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
