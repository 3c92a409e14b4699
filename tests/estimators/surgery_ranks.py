"""An ELBO surgery by one of several ranks on the CPU.

python -m tests.estimators.surgery_ranks FOLDER RANK WORLD N...    # writes FOLDER/N-RANK.pt
"""

import sys
from pathlib import Path
from unittest.mock import patch

import torch
import torch.distributed as dist

from bench.densities.mixture_table import MixtureTable
from bench.estimators.surgery import ELBOSurgery
from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.noise import Noise


def filled(n: int, ranks: list[int]) -> ELBOSurgery:
    """Return the surgery of what these ranks have of n data: rank 0 three fifths, rank 1 the rest."""
    model = LinearGaussianVAE(shift=0.2)
    parts = model.data(n).split([3 * n // 5, n - 3 * n // 5])
    surgery = ELBOSurgery(training=model.posterior(model.data(1100, 2)))
    for rank in ranks:
        surgery.update(model.terms(parts[rank], Noise(0, rank), 2))
    return surgery


def measured(n: int, rank: int) -> dict:
    """Return the surgery's columns, those of rank 0's own data, and how many points it took."""
    surgery, points, found = filled(n, [rank]), [], {}
    if rank == 0:
        # This one gathers nothing, and only this rank calls it: it must not wait.
        found["own"] = surgery._estimates()
    original = MixtureTable.log_prob
    counted = lambda table, z: points.append(len(z)) or original(table, z)
    with patch.object(MixtureTable, "log_prob", counted):
        return found | {"columns": surgery.estimates(), "points": points}


def main(folder: Path, rank: int, world: int, *numbers: int) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    for n in numbers:
        torch.save(measured(n, rank), folder / f"{n}-{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
