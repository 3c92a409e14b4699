"""Ours against what a user would use instead; peers live in an environment of their own."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.densities.flows import CouplingFlow
from bench.densities.mixture_table import MixtureTable
from bench.densities.normal import standard_normal_log_prob
from bench.errors import InputError
from bench.models.adam import Adam
from bench.parsing import parse_run
from bench.perf.bolts_epoch import bolts_epoch
from bench.perf.elsewhere import elsewhere
from bench.perf.estimators import LATENT, POINTS, encoded
from bench.perf.interleaved import Comparison, compare, seconds
from bench.perf.training import (
    EPOCHS,
    IMAGES,
    NETWORKS,
    SIDE,
    HandWrittenVAE,
    epochs_beside,
    made_up_images,
    vae_options,
)
from bench.perf.vampprior_loop import vampprior_epoch

COUPLINGS, FLOW_STEPS, FLOW_REPEATS = 8, 20, 9
PEER_IMAGES = 5_000
FLOW_TARGETS = {"zuko": 1.3, "nflows": 1.2, "normflows": 1.05}


@contextmanager
def peer_process(python: Path) -> Iterator[Callable[..., float]]:
    """Start the peers' process; what comes back does a piece of work there and returns its seconds.

    Raises:
        InputError: There is no such environment.
    """
    if not python.is_file():
        raise InputError(f"perf: no peers at {python}; `make perf-peers` installs them")
    script = Path(__file__).with_name("peer_work.py")
    with subprocess.Popen(
        [str(python), str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:

        def ask(name: str, options: dict) -> float:
            process.stdin.write(json.dumps([name, options]) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            if not isinstance(answer, float):
                raise RuntimeError(f"{name}: {answer}")
            return answer

        yield ask
        process.stdin.close()


def flow_rows(ask: Callable[..., float]) -> list[Comparison]:
    """A training step of 8 affine couplings of 784 dimensions, networks of 256-256, batch 100."""
    flow = CouplingFlow((1, SIDE, SIDE), COUPLINGS, [256, 256], "checkerboard")
    optimizer = Adam(flow.parameters(), 1e-3)
    x = torch.randn(100, SIDE**2)

    def ours() -> None:
        for _ in range(FLOW_STEPS):
            optimizer.zero_grad()
            z, log_determinant = flow(x)
            (-(standard_normal_log_prob(z) + log_determinant).mean()).backward()
            optimizer.step()

    options = {"dimensions": SIDE**2, "couplings": COUPLINGS, "batch": 100, "count": FLOW_STEPS}
    rows = []
    for name, target in FLOW_TARGETS.items():
        pairs = paired(ours, ask, name, options, FLOW_REPEATS)
        times = [[1e3 * t / FLOW_STEPS for t in side] for side in zip(*pairs)]
        rows.append(compare("training step, RealNVP, batch 100", name, "ms", *times, target))
    return rows


def paired(
    ours: Callable[[], object], ask: Callable[..., float], name: str, options: dict, repeats: int
) -> list[tuple[float, float]]:
    ours(), ask(name, options)
    return [(seconds(ours), ask(name, options)) for _ in range(repeats)]


def keops_rows(ask: Callable[..., float]) -> list[Comparison]:
    n = 10_000
    components, weights, z = encoded("typical", n)
    table = MixtureTable(components, weights)
    options = {"n": n, "points": POINTS, "dimensions": LATENT}
    pairs = paired(lambda: table.log_prob(z), ask, "keops", options, 5)
    times = [[1e9 * t / (n * POINTS) for t in side] for side in zip(*pairs)]
    return [compare(f"exact q_agg, n = {n}, typical", "KeOps", "ns a pair", *times, 5)]


class Items(Dataset):
    """A data set that makes one image at a time, as torchvision's are read."""

    def __init__(self, images: Tensor):
        self.images = images.view(-1, SIDE, SIDE).numpy()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        from PIL import Image

        # To an image and back, as its transforms do.
        picture = Image.fromarray(self.images[index])
        grey = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).float().div(255)
        return (torch.rand(SIDE**2) < grey).float()


def single_images(images: int, batch: int) -> Callable[[], None]:
    """Return an epoch of the hand-written loop on a DataLoader of single images."""
    model = HandWrittenVAE(*NETWORKS[1][1:])
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    grey = made_up_images(2).intensities[:images]
    loader = DataLoader(Items(grey), batch, shuffle=True, drop_last=True)

    def epoch() -> None:
        for y in loader:
            optimizer.zero_grad()
            model.loss(y).backward()
            optimizer.step()

    return epoch


def pipeline_rows(ask: Callable[..., float]) -> list[Comparison]:
    """The training path against pythae's, lightning-bolts', and a DataLoader of single images."""
    name, *parts = NETWORKS[1]
    data, batch = made_up_images(2), 100
    options = {"images": PEER_IMAGES, "batch": batch, "latent": parts[2], "hidden": parts[0][0]}
    config = parse_run(vae_options(*parts, batch))
    with elsewhere() as there, elsewhere() as at_bolts:
        # (an epoch of theirs, its images, the ratio that is wanted). A Trainer starts in 25 ms,
        # which is nothing beside an epoch as long as ours.
        peers = {
            "pythae's trainer": (lambda: ask("pythae", options), PEER_IMAGES, 1.5),
            "a DataLoader of single images": (
                lambda: there(single_images, PEER_IMAGES, batch),
                PEER_IMAGES,
                2,
            ),
            "lightning-bolts' own pipeline": (
                lambda: at_bolts(bolts_epoch, IMAGES, batch),
                IMAGES,
                1.5,
            ),
        }
        told: dict[str, list[float]] = {peer: [] for peer in peers}
        between = [
            lambda peer=peer, epoch=epoch: told[peer].append(epoch())
            for peer, (epoch, *_) in peers.items()
        ]
        ours = epochs_beside(config, data, between)[0]
    per_step = lambda values, images: [1e3 * value * batch / images for value in values]
    what = f"training step, Bernoulli VAE {name}, batch {batch}"
    mine = per_step(ours, IMAGES)
    return [
        compare(what, peer, "ms", mine, per_step(told[peer][1:], images), target)
        for peer, (_, images, target) in peers.items()
    ]


def vampprior_rows() -> list[Comparison]:
    """The training path on a gated VAE with 500 pseudo-inputs against the way of its authors' code."""
    batch, pseudo_inputs = 100, 500
    config = parse_run(
        [
            "--data=mnist-dynamic",
            "--model=gated_vamp_vae",
            f"--model.prior.pseudo_inputs={pseudo_inputs}",
            f"--trainer.batch_size={batch}",
            f"--trainer.max_epochs={EPOCHS}",
        ]
    )
    told: list[float] = []
    with elsewhere() as there:
        epoch = lambda: told.append(there(vampprior_epoch, PEER_IMAGES, batch, pseudo_inputs))
        ours = epochs_beside(config, made_up_images(2, PEER_IMAGES), [epoch])[0]
    times = [[1e3 * t * batch / PEER_IMAGES for t in side] for side in (ours, told[1:])]
    what = f"training step, gated VAE, VampPrior of {pseudo_inputs}, batch {batch}"
    return [compare(what, "the way of its authors' code", "ms", *times, 2)]


def peer_rows(python: Path) -> list[Comparison]:
    torch.set_num_threads(1)
    with peer_process(python) as ask:
        return [*pipeline_rows(ask), *vampprior_rows(), *flow_rows(ask), *keops_rows(ask)]
