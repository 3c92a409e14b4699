"""A trained peer goes the way of a stranger's model: scored, submitted, evaluated and ranked."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from bench.adapters.adapted import Wanted
from bench.data.tasks import TaskData
from bench.errors import InputError
from bench.instruments.peers.settings import Peer
from bench.instruments.peers.train import Trained
from bench.instruments.progress import PartProgress, split_progress
from bench.records.record import read_record
from bench.records.types import Record
from bench.scoring.score import read_given, score
from bench.settings import EvaluationConfig
from bench.submissions.again import made_here
from bench.submissions.board import Entry, added, base_of, read_versions
from bench.submissions.description import Submission, read_submission
from bench.submissions.numbers import checked_records, facts_of
from bench.submissions.submit import Given, submit
from bench.sweep.folder import write_or_refuse

# Of our code that builds peers, and of the weights.
LICENCE = "MIT"


def take_libraries(python: Path) -> None:
    """Let this process import what the peers' environment has and this one has not.

    Raises:
        InputError: There is no such environment.
    """
    found = sorted(python.absolute().parents[1].glob("lib/python3*/site-packages"))
    if not python.is_file() or not found:
        raise InputError(f"peers: no environment at {python}; `make perf-peers` installs it")
    # Last, so that only what is missing here comes from there.
    sys.path += [str(folder) for folder in found if str(folder) not in sys.path]


# Its parameters are those of the command.
def scored(
    peer: Peer, seed: int, trained: Trained, data: TaskData, evaluation: EvaluationConfig,
    folder: Path, progress: PartProgress,
) -> Record:  # fmt: skip
    """Return the record of a seed by `bench score`, from the folder if it is there already."""
    for path in sorted(folder.glob("runs/*/record.json")):
        record = read_record(path)
        if record["scored"]["checkpoint_sha256"] == trained.sha256:
            return record
    wanted = Wanted(data.shape, data.task.levels, peer.images)
    given = read_given(f"{peer.source}:build", str(trained.weights), wanted)
    record = score(
        replace(given, name=peer.name),
        wanted,
        data,
        evaluation,
        seed,
        folder,
        torch.device("cpu"),
        lambda phase, share, text: progress(share, f"{peer.name}, seed {seed}: {phase} {text}"),
    )
    write_or_refuse(folder, record)
    return record


def submitted(
    peer: Peer, trained: list[Trained], records: list[Record], folder: Path
) -> Submission:
    """Return the submission of a peer; its folder is written if it is not there yet."""
    if folder.is_dir():
        return read_submission(folder)
    given = Given(
        peer.name,
        LICENCE,
        peer.citation,
        weights=[one.weights for one in trained],
        source=[peer.source],
        budget=peer.budget,
    )
    return submit(records, given, folder)


def entry_of(board: Path, peer: Peer) -> Entry | None:
    """Return a peer's entry in the newest version of a board, as *evaluated*; None without one."""
    versions = read_versions(board)
    for entry in versions[-1].entries if versions else ():
        submission = read_submission(board / entry.folder, without_weights=True)
        if (submission.name, submission.task) == (peer.name, peer.task):
            return entry
    return None


def ranked(board: Path, submission: Submission) -> None:
    """Make the numbers of a submission anew from its weights, and add it to the board.

    The code that builds the peers is ours, so that it also runs where a process cannot be closed.

    Raises:
        InputError: The numbers are others, or the board has another row of this name.
    """
    _, runs = base_of(board)
    facts = facts_of(submission.task, runs)
    checked_records(submission, facts)
    records, found = made_here(submission, facts, "evaluated", must_be_closed=False)
    added(board, submission, ("evaluated", records, found.in_words()))


# Its parameters are those of the whole way.
def row_of_peer(
    peer: Peer, trained: list[Trained], data: TaskData, evaluation: EvaluationConfig,
    folder: Path, board: Path, progress: PartProgress,
) -> None:  # fmt: skip
    """Score the trainings of a peer, submit them, and add their row to the board.

    Args:
        peer: The peer.
        trained: Its trainings, in the order of its seeds.
        data: Its task's images.
        evaluation: How it is measured.
        folder: Where records and submissions are kept.
        board: Folder of the sweep with our own models.
        progress: Called with the share that is done.
    """
    parts = split_progress(progress, [1.0] * len(trained) + [float(len(trained))])
    place = folder / "scored" / peer.path.stem
    records = [
        scored(peer, seed, one, data, evaluation, place, part)
        for seed, one, part in zip(peer.seeds, trained, parts)
    ]
    parts[-1](0.0, f"{peer.name}: evaluated from its submission")
    ranked(board, submitted(peer, trained, records, folder / "submissions" / peer.path.stem))
