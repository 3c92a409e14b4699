"""Ours against what a user would use instead; peers live in an environment of their own."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.configuration.parsing import parse_run
from bench.densities.flows import CouplingFlow
from bench.densities.mixture_table import MixtureTable
from bench.densities.normal import standard_normal_log_prob
from bench.errors import InputError
from bench.instruments.perf.bolts_epoch import bolts_epoch
from bench.instruments.perf.elsewhere import elsewhere
from bench.instruments.perf.estimators import LATENT, encoded
from bench.instruments.perf.interleaved import Comparison, by_turns, compare
from bench.instruments.perf.sizes import Sizes, Tell, about, part_of
from bench.instruments.perf.training import (
    NETWORKS,
    SIDE,
    HandWrittenVAE,
    epochs_beside,
    made_up_images,
    vae_options,
)
from bench.instruments.perf.vampprior_loop import vampprior_epoch
from bench.training.adam import Adam

COUPLINGS = 8
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
            line = process.stdout.readline()
            answer = json.loads(line) if line else "the peers' process has ended"
            if not isinstance(answer, float):
                raise RuntimeError(f"{name}: {answer}")
            return answer

        yield ask
        process.stdin.close()


def flow_rows(ask: Callable[..., float], sizes: Sizes, tell: Tell) -> list[Comparison]:
    """A training step of 8 affine couplings of 784 dimensions, networks of 256-256, batch 100."""
    flow = CouplingFlow((1, SIDE, SIDE), COUPLINGS, [256, 256], "checkerboard")
    optimizer = Adam(flow.parameters(), 1e-3)
    x = torch.randn(100, SIDE**2)

    def ours() -> None:
        for _ in range(sizes.steps):
            optimizer.zero_grad()
            z, log_determinant = flow(x)
            (-(standard_normal_log_prob(z) + log_determinant).mean()).backward()
            optimizer.step()

    options = {"dimensions": SIDE**2, "couplings": COUPLINGS, "batch": 100, "count": sizes.steps}
    what, rows = "training step, RealNVP, batch 100", []
    for number, (name, target) in enumerate(FLOW_TARGETS.items()):
        theirs = lambda name=name: ask(name, options)
        part = part_of(tell, number, len(FLOW_TARGETS))
        pairs = by_turns(ours, theirs, sizes.repeats, part, f"{what}: {name}")
        times = [[1e3 * t / sizes.steps for t in side] for side in pairs]
        rows.append(compare(what, name, "ms", *times, target))
    return rows


def keops_rows(ask: Callable[..., float], sizes: Sizes, tell: Tell) -> list[Comparison]:
    n = sizes.components[0]
    components, weights, z = encoded("typical", n)
    table = MixtureTable(components, weights)
    options = {"n": n, "points": len(z), "dimensions": LATENT}
    what = f"exact q_agg, n = {n}, typical"
    exact, theirs = lambda: table.log_prob(z), lambda: ask("keops", options)
    pairs = by_turns(exact, theirs, sizes.repeats, tell, f"{what}: KeOps")
    times = [[1e9 * t / (n * len(z)) for t in side] for side in pairs]
    return [compare(what, "KeOps", "ns a pair", *times, 5)]


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
    grey = made_up_images(2, images).intensities
    loader = DataLoader(Items(grey), batch, shuffle=True, drop_last=True)

    def epoch() -> None:
        for y in loader:
            optimizer.zero_grad()
            model.loss(y).backward()
            optimizer.step()

    return epoch


def pipeline_rows(ask: Callable[..., float], sizes: Sizes, tell: Tell) -> list[Comparison]:
    """The training path against pythae's, lightning-bolts', and a DataLoader of single images."""
    name, *parts = NETWORKS[1]
    images, few, batch = sizes.images, sizes.peer_images, 100
    options = {"images": few, "batch": batch, "latent": parts[2], "hidden": parts[0][0]}
    config = parse_run(vae_options(*parts, batch, sizes.epochs))
    what = f"training step, Bernoulli VAE {name}, batch {batch}"
    with elsewhere() as there, elsewhere() as at_bolts:
        # (whose pipeline, an epoch of it, its images, the ratio that is wanted). A Trainer starts
        # in 25 ms, which is nothing beside an epoch as long as ours.
        peers = [
            ("pythae's trainer", lambda: ask("pythae", options), few, 1.5),
            ("a DataLoader of single images", lambda: there(single_images, few, batch), few, 2),
            (
                "lightning-bolts' own pipeline",
                lambda: at_bolts(bolts_epoch, images, batch),
                images,
                1.5,
            ),
        ]
        between = [epoch for _, epoch, *_ in peers]
        data = made_up_images(2, images)
        ours, *theirs = epochs_beside(config, data, between, about(tell, what))
    per_step = lambda values, images: [1e3 * value * batch / images for value in values]
    return [
        compare(what, peer, "ms", per_step(ours, images), per_step(times, of_them), target)
        for times, (peer, _, of_them, target) in zip(theirs, peers)
    ]


def vampprior_rows(sizes: Sizes, tell: Tell) -> list[Comparison]:
    """The training path on a gated VAE with 500 pseudo-inputs against the way of its authors' code."""
    images, batch, pseudo_inputs = sizes.peer_images, 100, 500
    config = parse_run(
        [
            "--data=mnist-dynamic",
            "--model=gated_vamp_vae",
            f"--model.prior.pseudo_inputs={pseudo_inputs}",
            f"--trainer.batch_size={batch}",
            f"--trainer.max_epochs={sizes.epochs}",
        ]
    )
    what = f"training step, gated VAE, VampPrior of {pseudo_inputs}, batch {batch}"
    with elsewhere() as there:
        epoch = lambda: there(vampprior_epoch, images, batch, pseudo_inputs)
        sides = epochs_beside(config, made_up_images(2, images), [epoch], about(tell, what))
    times = [[1e3 * t * batch / images for t in side] for side in sides]
    return [compare(what, "the way of its authors' code", "ms", *times, 2)]


def peer_rows(python: Path, sizes: Sizes, tell: Tell) -> list[Comparison]:
    torch.set_num_threads(1)
    part = lambda number: part_of(tell, number, 4)
    with peer_process(python) as ask:
        return [
            *pipeline_rows(ask, sizes, part(0)),
            *vampprior_rows(sizes, part(1)),
            *flow_rows(ask, sizes, part(2)),
            *keops_rows(ask, sizes, part(3)),
        ]
