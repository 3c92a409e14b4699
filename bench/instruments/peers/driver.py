"""`bench peers`: models of other libraries, trained by their own code, in one table with ours."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from bench.configuration.files import CONFIGS, named_task, resolve
from bench.data.tasks import TaskData, load_task
from bench.errors import InputError
from bench.instruments.peers.checks import checks_of
from bench.instruments.peers.score import entry_of, row_of_peer, take_libraries
from bench.instruments.peers.settings import Peer, read_peers
from bench.instruments.peers.train import Trained, files_of, read_trained, train, write_arrays
from bench.instruments.progress import PartProgress, split_progress
from bench.records.tables import csv_text
from bench.settings import EvaluationConfig, Progress
from bench.submissions.board import read_versions
from bench.system.files import read_bytes, write_atomically
from bench.system.yaml_text import read_yaml

# The sweep with our own models at the peers' budget; its folder is the board.
SWEEP = "equal-budget"
LONGEST = 64 * 2**20


def peers(
    directory: Path, python: Path, progress: Progress, settings: Path = CONFIGS / "peers"
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Train, score and rank all peers, and write leaderboard.csv and checks.csv.

    What is done already is not done again.

    Args:
        directory: results/peers, in which the sweep of our own models lies.
        python: Python of the peers' environment.
        progress: Called with phase, share of the whole, and text.
        settings: Folder with a file for each peer.

    Returns:
        leaderboard.csv, checks.csv, and a line for each peer that failed.

    Raises:
        InputError: There is no such environment or no such sweep, or settings are wrong.
    """
    board, chosen = directory / SWEEP, read_peers(settings)
    if not (board / "runs.csv").is_file():
        raise InputError(
            f"peers: {board} has no runs of our own; `bench sweep {SWEEP} --results {directory}` does "
            "them, and `make peers` both"
        )
    take_libraries(python)
    failed = []
    parts = split_progress(partial(progress, "peers"), [1.0] * len(chosen))
    with tempfile.TemporaryDirectory() as name:
        for peer, part in zip(chosen, parts):
            try:
                do_peer(peer, directory, python, Path(name), part)
            except InputError as error:
                failed.append(str(error))
    versions = read_versions(board)
    if not versions:
        raise InputError(f"peers: all of them failed: {'; '.join(failed)}")
    path = board / f"{versions[-1].name}.csv"
    write_atomically(directory / "leaderboard.csv", read_bytes(path, LONGEST))
    checks = checks_of(chosen, directory, board)
    write_atomically(directory / "checks.csv", csv_text(checks))
    table = pd.read_csv(directory / "leaderboard.csv", float_precision="round_trip")
    return table, checks, failed


def do_peer(
    peer: Peer, directory: Path, python: Path, temporary: Path, progress: PartProgress
) -> None:
    """Do what is left to do for a peer. Raises InputError if that fails."""
    data, folder = load_task(named_task(peer.task)), directory / "trained"
    entry = entry_of(directory / SWEEP, peer)
    training, scoring = split_progress(progress, [2.0, 1.0])
    trained = []
    for seed, part in zip(peer.seeds, split_progress(training, [1.0] * len(peer.seeds))):
        found = read_trained(peer, seed, data, folder)
        # Published results have a peer's row, and not its weights.
        if found is None or (entry is None and not files_of(peer, seed, folder)[0].is_file()):
            arrays = arrays_of(peer.task, data, temporary)
            found = train(peer, seed, data, arrays, python, folder, part)
        trained.append(found)
    if entry is None:
        finish(peer, trained, data, directory, scoring)


def finish(
    peer: Peer, trained: list[Trained], data: TaskData, directory: Path, progress: PartProgress
) -> None:
    content: dict[str, Any] = read_yaml(resolve("evaluation", peer.evaluation))
    row_of_peer(
        peer, trained, data, EvaluationConfig(**content), directory, directory / SWEEP, progress
    )


def arrays_of(task: str, data: TaskData, folder: Path) -> Path:
    """Return the file of a task's arrays, which is written once."""
    path = folder / f"{task}.npz"
    if not path.is_file():
        write_arrays(data, path)
    return path
