"""The content of a sweep's folder for W&B. Reads files; needs neither network nor W&B."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import InputError
from bench.records.manifest import read_manifest
from bench.records.record import has_record, read_record, record_path
from bench.records.tables import read_leaderboard, read_runs
from bench.records.types import Config

TABLES = ("leaderboard.csv", "runs.csv", "claims.csv")
# Names that W&B allows for artifacts, and that its filters can quote.
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}"


@dataclass(frozen=True)
class Content:
    """Everything that is sent.

    Attributes:
        sweep: The sweep's name.
        logs: {key: folders of W&B's offline logs, oldest first}, of recorded runs.
        online: Keys of recorded runs that were logged online.
        files: {name of an artifact: (its type, the key of its run, the file)}.
        tables: leaderboard.csv, runs.csv, and claims.csv if there is one.
        board: leaderboard.csv.
        runs: runs.csv.
        options: Dotted paths of the configuration in which runs of one task and model differ.
        images: Names of the images that runs log.
    """

    sweep: str
    logs: dict[str, list[Path]]
    online: set[str]
    files: dict[str, tuple[str, str, Path]]
    tables: list[Path]
    board: pd.DataFrame
    runs: pd.DataFrame
    options: list[str]
    images: list[str]


def content_of(directory: Path) -> Content:
    """Return the content of a sweep's folder for W&B.

    Raises:
        InputError: There is no sweep; it has no tables or a damaged record; W&B does not allow its
            name; or none of its runs was logged.
    """
    sweep = directory.name
    if not re.fullmatch(NAME, sweep):
        raise InputError(
            f"dashboard: '{sweep}': W&B allows names of at most 50 letters, digits, '.', '_', '-'"
        )
    keys = read_manifest(directory)
    tables = [directory / name for name in TABLES if (directory / name).is_file()]
    if {path.name for path in tables} < {"leaderboard.csv", "runs.csv"}:
        raise InputError(f"dashboard: {directory} has no tables; bench report {sweep} writes them")
    runs, board = read_runs(directory / "runs.csv"), read_leaderboard(directory / "leaderboard.csv")
    logs: dict[str, list[Path]] = {}
    online: set[str] = set()
    files: dict[str, tuple[str, str, Path]] = {}
    configs: list[tuple[str, str, Config]] = []
    images: dict[str, None] = {}
    for key in keys:
        folder, path = directory / "runs" / key, record_path(directory / "runs", key)
        # Their names contain the time of the start.
        found = sorted(folder.glob(f"wandb/offline-run-*-{key}"))
        is_online = any(folder.glob(f"wandb/run-*-{key}"))
        # Without a record the run may still be at work; W&B takes a log that is sent as complete.
        if not has_record(directory / "runs", key) or not (found or is_online):
            continue
        if is_online:
            online.add(key)
        if found:
            logs[key] = found
        record = read_record(path)
        files[f"record-{key}"] = ("record", key, path)
        if (folder / "best.ckpt").is_file():
            files[f"model-{key}"] = ("model", key, folder / "best.ckpt")
        configs.append((record["task"], record["model"].split()[0], record["config"]))
        images |= dict.fromkeys(record.get("images", {}))
    if not files:
        raise InputError(
            f"dashboard: no recorded run of {directory} has a W&B log; was it disabled?"
        )
    options = varied(configs)
    return Content(sweep, logs, online, files, tables, board, runs, options, list(images))


def varied(configs: Iterable[tuple[str, str, Config]]) -> list[str]:
    """Return the dotted paths at which configurations of one task and model differ.

    These are the further axes of the sweep's matrix. Seed and β are left out: they have columns.

    Args:
        configs: (task, model without its variant, configuration) of each run.
    """
    seen: dict[tuple[str, str, str], set[object]] = {}
    for task, model, config in configs:
        for path, value in leaves(config):
            seen.setdefault((task, model, path), set()).add(value)
    paths = {path for (_, _, path), values in seen.items() if len(values) > 1}
    return sorted(paths - {"seed", "trainer.beta"})


def leaves(config: Any, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield (dotted path, value) of everything but mappings; a list is one value, its text."""
    if isinstance(config, dict):
        for name, part in config.items():
            yield from leaves(part, f"{path}.{name}" if path else name)
    else:
        yield path, str(config) if isinstance(config, list) else config
