"""`bench sweep --wandb-sweep`: the same matrix as a sweep file for `wandb sweep` and `wandb agent`."""

from pathlib import Path

import yaml

from bench.record import write_atomically
from bench.sweep.driver import Plan


def write_wandb_sweep(plan: Plan, name: str, results: Path) -> Path:
    """Write results/<sweep>/wandb-sweep.yaml and return its path.

    Its grid has one parameter, the key, because exclusions and overrides make a matrix that is no
    product of its axes. An agent calls this benchmark's own command for each key, which skips what
    has a record.
    """
    command = ["${env}", "${interpreter}", "-m", "bench", "sweep", name, "--results", str(results)]
    content = {
        "name": plan.name,
        "program": "bench",
        "method": "grid",
        "metric": {"name": "bits_per_dim", "goal": "minimize"},
        "parameters": {"key": {"values": [key for key in plan.jobs if key in plan.chosen]}},
        # Written by the agent as key=…, which is a condition of --only.
        "command": [*command, "--only", "${args_no_hyphens}"],
    }
    path = plan.directory / "wandb-sweep.yaml"
    write_atomically(path, yaml.safe_dump(content, sort_keys=False))
    return path
