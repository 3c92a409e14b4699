"""What each library says of the test images, beside what was measured here."""

import json
from math import nan, sqrt
from pathlib import Path

import pandas as pd

from bench.instruments.peers.score import entry_of
from bench.instruments.peers.settings import Peer
from bench.instruments.peers.train import files_of
from bench.submissions.board import records_made


def checks_of(peers: list[Peer], directory: Path, board: Path) -> pd.DataFrame:
    """Return a row for each number of a library: its value, ours, and their difference, nats.

    Peers that are not on the board have none.

    Both are estimates by draws of their own from the same weights and test images, so that the
    standard error of their difference is √2 times ours. ``minus_loss`` has no counterpart here.
    """
    rows = []
    for peer in peers:
        entry = entry_of(board, peer)
        if entry is None:
            continue
        records = records_made(board, entry)
        for seed in peer.seeds:
            path = files_of(peer, seed, directory / "trained")[1]
            numbers = json.loads(path.read_text(encoding="utf-8"))["numbers"]
            test = records[seed]["metrics"]["test"]
            for quantity, said in numbers.items():
                # A log-mass is never positive: pythae 0.1.2's get_nll is log p and not −log p.
                theirs = -abs(said) if quantity == "log_likelihood" else said
                ours = test[quantity]["value"] if quantity in test else nan
                error = test[quantity]["stderr"] if quantity in test else None
                rows.append(
                    {
                        "peer": peer.name,
                        "task": peer.task,
                        "seed": seed,
                        "quantity": quantity,
                        "theirs": theirs,
                        "ours": ours,
                        "difference": theirs - ours,
                        "stderr": nan if error is None else sqrt(2) * error,
                    }
                )
    return pd.DataFrame(rows)
