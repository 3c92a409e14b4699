"""What of a sweep's folder goes to W&B. Reads files; no network, no W&B."""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import InputError
from bench.records.manifest import read_manifest
from bench.records.record import read_record, record_path
from bench.records.tables import LONGEST, read_runs
from bench.system.files import read_bytes

TABLES = ("leaderboard.csv", "runs.csv", "claims.csv")
# What W&B allows in the names of artifacts, and its filters can hold in a string.
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}"


@dataclass(frozen=True)
class Content:
    """What there is to send.

    Attributes:
        sweep: The sweep's name.
        logs: {key: folders of W&B's offline logs, oldest first}, of recorded runs.
        online: Keys of recorded runs that were logged online.
        files: {artifact's name: (its type, the run that made it, the file)}.
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
    """Return what of a sweep's folder goes to W&B.

    Raises:
        InputError: There is no sweep, it has no tables or a damaged record, its name is none that
            W&B takes, or no run of it was logged.
    """
    sweep = directory.name
    if not re.fullmatch(NAME, sweep):
        raise InputError(
            f"dashboard: '{sweep}': W&B takes names of at most 50 letters, digits, '.', '_', '-'"
        )
    keys = read_manifest(directory)
    tables = [directory / name for name in TABLES if (directory / name).is_file()]
    if {path.name for path in tables} < {"leaderboard.csv", "runs.csv"}:
        raise InputError(f"dashboard: {directory} has no tables; bench report {sweep} writes them")
    runs = read_runs(directory / "runs.csv")
    try:
        content = read_bytes(directory / "leaderboard.csv", LONGEST)
        board = pd.read_csv(io.BytesIO(content), float_precision="round_trip")
    except (OSError, ValueError) as error:
        raise InputError(f"dashboard: leaderboard.csv cannot be read: {error}") from None
    logs: dict[str, list[Path]] = {}
    online, files, configs, images = set(), {}, [], {}
    for key in keys:
        folder, path = directory / "runs" / key, record_path(directory / "runs", key)
        # Their names hold the time of their start.
        found = sorted(folder.glob(f"wandb/offline-run-*-{key}"))
        is_online = any(folder.glob(f"wandb/run-*-{key}"))
        # Without a record the run may still be at work, and a log that is sent counts as whole.
        if not path.is_file() or not (found or is_online):
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


def varied(configs: Iterable[tuple[str, str, dict]]) -> list[str]:
    """Return the dotted paths at which configurations of one task and model differ.

    These are the further axes of the sweep's matrix. Seed and β have columns of their own.

    Args:
        configs: (task, model without its variant, configuration) of each run.
    """
    seen: dict[tuple[str, str, str], set] = {}
    for task, model, config in configs:
        for path, value in leaves(config):
            seen.setdefault((task, model, path), set()).add(value)
    paths = {path for (_, _, path), values in seen.items() if len(values) > 1}
    return sorted(paths - {"seed", "trainer.beta"})


def leaves(config: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """Return (dotted path, value) of what is no mapping; lists count as one value, their text."""
    if isinstance(config, dict):
        for name, part in config.items():
            yield from leaves(part, f"{path}.{name}" if path else name)
    else:
        yield path, str(config) if isinstance(config, list) else config
