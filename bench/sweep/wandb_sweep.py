"""A sweep as a W&B sweep: a grid over the keys of its runs, for `wandb agent`."""

from pathlib import Path

import yaml

from bench.errors import InputError
from bench.sweep.driver import Plan
from bench.system.files import write_atomically
from bench.tracking.wandb_settings import project

FILE = "wandb-sweep.yaml"


def wandb_sweep(plan: Plan, name: str, results: Path) -> dict[str, object]:
    """Return the chosen runs of a plan as W&B's sweep configuration.

    W&B's grid cannot express the exclusions, overrides and linked axes of a matrix. So it has one
    parameter, the key, and each point does the run of that key.

    Args:
        plan: The sweep.
        name: Its name or path, as `bench sweep` takes it.
        results: Folder of all results.
    """
    places = {place for job in plan.jobs.values() for place in job.plugins or ()}
    return {
        "name": plan.name,
        "project": project(),
        "method": "grid",
        "metric": {"name": "bits_per_dim", "goal": "minimize"},
        # W&B's agent requires a program, which the command does not use.
        "program": "bench",
        "parameters": {"key": {"values": [key for key in plan.jobs if key in plan.chosen]}},
        # W&B substitutes the words with a dollar: python, and key=<one of the values>.
        "command": [
            "${env}",
            "${interpreter}",
            "-m",
            "bench",
            "sweep",
            name,
            "--results",
            str(results),
            *(word for place in sorted(places) for word in ("--plugin", place)),
            "--only",
            "${args_no_hyphens}",
        ],
    }


def write_wandb_sweep(plan: Plan, name: str, results: Path) -> Path:
    """Write ``wandb_sweep`` to a sweep's folder and return its path.

    Raises:
        InputError: The folder cannot be written.
    """
    path = plan.directory / FILE
    try:
        text = yaml.safe_dump(wandb_sweep(plan, name, results), sort_keys=False, allow_unicode=True)
        write_atomically(path, text)
    except OSError as error:
        raise InputError(f"results: {path} cannot be written: {error.strerror}") from None
    return path
