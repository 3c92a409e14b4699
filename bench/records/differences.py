"""Options by which configurations differ. Runs of one row of a leaderboard differ in the seed alone."""

import json
from collections.abc import Iterable
from typing import Any

from bench.errors import InputError
from bench.records.key import hashed_part
from bench.records.types import Config

# What may differ between the trainings that form a row: the seed, and the weights of scored models.
OF_A_TRAINING = ("seed", "weights_sha256")


def options_of(config: Config) -> dict[str, str]:
    """Return {option as `bench train` names it: value}, without the seed.

    A scored model's weights are left out like the seed: they are those of one of its trainings.

    An option that was added after the first records is left out at the value that reproduces them.
    """
    found: dict[str, str] = {}

    def walk(part: Any, path: str) -> None:
        if isinstance(part, dict) and "class_path" in part:
            found[path] = str(part["class_path"]).rpartition(".")[2]
            walk(part.get("init_args", {}), path)
        elif path == "plugins":
            # The hash is there because nothing else may differ; its beginning tells them apart.
            found[path] = " ".join(f"{p['version'] or ''}@{p['sha256'][:12]}" for p in part)
        elif isinstance(part, dict):
            for name, value in part.items():
                walk(value, f"{path}.{name}" if path else name)
        else:
            found[path] = part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)

    walk(
        {name: part for name, part in hashed_part(config).items() if name not in OF_A_TRAINING}, ""
    )
    return found


def differing(options: list[dict[str, str]]) -> list[str]:
    """Return the names of the options that are not the same in all of ``options``."""
    names = sorted({name for own in options for name in own})
    return [name for name in names if len({own.get(name) for own in options}) > 1]


def refuse_mixed_rows(runs: Iterable[tuple[str, Config]], where: str) -> None:
    """Raise InputError if runs of one row differ in more than the seed.

    Args:
        runs: The name of its row and the configuration of each run.
        where: The file that asks for these runs, for the message.
    """
    firsts: dict[str, tuple[Any, dict[str, str]]] = {}
    for row, config in runs:
        seed, options = config["seed"], options_of(config)
        first_seed, first = firsts.setdefault(row, (seed, options))
        for name in differing([first, options]):
            raise InputError(
                f"{where}: {row}: {name} is {first.get(name, 'not set')} with seed {first_seed} and "
                f"{options.get(name, 'not set')} with seed {seed}, but the runs of a row differ in "
                "the seed alone; an axis of the matrix makes rows of their own"
            )
