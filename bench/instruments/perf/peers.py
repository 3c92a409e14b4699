"""Speed compared with what a user would use instead; peers have their own environment."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
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
from bench.instruments.perf.estimators import LATENT, encoded
from bench.instruments.perf.interleaved import (
    Alternative,
    Comparison,
    Timed,
    Work,
    compare,
    compared,
)
from bench.instruments.perf.separate_process import separate_process
from bench.instruments.perf.sizes import Sizes
from bench.instruments.perf.training import (
    SHALLOW,
    SIDE,
    HandWrittenVAE,
    dynamic_task,
    interleaved_epochs,
    random_images,
    vae_options,
)
from bench.instruments.perf.vampprior_loop import vampprior_epoch
from bench.instruments.progress import PartProgress, prefixed, split_progress
from bench.training.adam import Adam

COUPLINGS = 8
BATCH = 100
FLOW_TARGETS = {"zuko": 1.3, "nflows": 1.2, "normflows": 1.05}
# (name of the work, its sizes) → seconds.
Peers = Callable[[str, dict[str, int]], float]


@contextmanager
def peer_process(python: Path) -> Iterator[Peers]:
    """Start the peers' process and yield a function that does work there and returns its seconds.

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
        requests, answers = process.stdin, process.stdout
        assert requests is not None and answers is not None  # both are pipes

        def time_peer(name: str, options: dict[str, int]) -> float:
            requests.write(json.dumps([name, options]) + "\n")
            requests.flush()
            line = answers.readline()
            answer = json.loads(line) if line else "the peers' process has ended"
            if not isinstance(answer, float):
                raise RuntimeError(f"{name}: {answer}")
            return answer

        yield time_peer
        requests.close()


def flow_rows(time_peer: Peers, sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    """A training step of 8 affine couplings of 784 dimensions, networks of 256-256, batch 100."""
    flow = CouplingFlow((1, SIDE, SIDE), COUPLINGS, [256, 256], "checkerboard")
    optimizer = Adam(flow.parameters(), 1e-3)
    x = torch.randn(BATCH, SIDE**2)

    def ours() -> None:
        for _ in range(sizes.steps):
            optimizer.zero_grad()
            z, log_determinant = flow(x)
            (-(standard_normal_log_prob(z) + log_determinant).mean()).backward()
            optimizer.step()

    options = {"dimensions": SIDE**2, "couplings": COUPLINGS, "batch": BATCH, "count": sizes.steps}
    others = [
        Alternative(name, partial(time_peer, name, options), sizes.steps, target)
        for name, target in FLOW_TARGETS.items()
    ]
    timed = Timed(f"training step, RealNVP, batch {BATCH}", "ms", 1e3, ours, sizes.steps)
    return compared(timed, others, sizes.repeats, progress)


def keops_rows(time_peer: Peers, sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    n = sizes.components[0]
    components, weights, z = encoded("typical", n)
    table = MixtureTable(components, weights)
    options = {"n": n, "points": len(z), "dimensions": LATENT}
    exact = lambda: table.log_prob(z)
    ours = Timed(f"exact q_agg, n = {n}, typical", "ns a pair", 1e9 / n, exact, len(z))
    keops = Alternative("KeOps", partial(time_peer, "keops", options), len(z), 5)
    return compared(ours, [keops], sizes.repeats, progress)


class Items(Dataset[Tensor]):
    """A data set that makes one image at a time, as torchvision's data sets do."""

    def __init__(self, images: Tensor) -> None:
        self.images = images.view(-1, SIDE, SIDE).numpy()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        from PIL import Image

        # To a PIL image and back, as torchvision's transforms do.
        picture = Image.fromarray(self.images[index])
        grey = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).float().div(255)
        return (torch.rand(SIDE**2) < grey).float()


def single_images(images: int, batch: int) -> Work:
    """Return an epoch of the hand-written loop on a DataLoader of single images."""
    model = HandWrittenVAE(SHALLOW)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    loader = DataLoader(Items(random_images(images)), batch, shuffle=True, drop_last=True)

    def epoch() -> None:
        for y in loader:
            optimizer.zero_grad()
            model.loss(y).backward()
            optimizer.step()

    return epoch


def pipeline_rows(time_peer: Peers, sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    """Training compared with pythae, lightning-bolts, and a DataLoader of single images."""
    images, few = sizes.images, sizes.peer_images
    options = {"images": few, "batch": BATCH, "latent": SHALLOW.latent, "hidden": SHALLOW.widths[0]}
    config = parse_run(vae_options(SHALLOW, BATCH, sizes.epochs))
    what = f"training step, Bernoulli VAE {SHALLOW.name}, batch {BATCH}"
    with separate_process() as time_apart, separate_process() as time_bolts:
        pythae = partial(time_peer, "pythae", options)
        by_item = partial(time_apart, single_images, few, BATCH)
        bolts = partial(time_bolts, bolts_epoch, images, BATCH)
        # A Trainer starts in 25 ms: negligible, because its epoch is as long as ours.
        others = [
            Alternative("pythae's trainer", pythae, few, 1.5),
            Alternative("a DataLoader of single images", by_item, few, 2),
            Alternative("lightning-bolts' own pipeline", bolts, images, 1.5),
        ]
        between = [other.seconds for other in others]
        data = dynamic_task(random_images(images))
        ours, *theirs = interleaved_epochs(config, data, between, prefixed(progress, what))
    own = milliseconds_per_step(ours, images)
    return [
        compare(what, other.name, "ms", own, milliseconds_per_step(times, other.size), other.target)
        for other, times in zip(others, theirs)
    ]


def milliseconds_per_step(epochs: list[float], images: int) -> list[float]:
    return [1e3 * seconds * BATCH / images for seconds in epochs]


def vampprior_rows(sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    """Training of a gated VAE with 500 pseudo-inputs compared with its authors' code."""
    images, pseudo_inputs = sizes.peer_images, 500
    config = parse_run(
        [
            "--data=mnist-dynamic",
            "--model=gated_vamp_vae",
            f"--model.prior.pseudo_inputs={pseudo_inputs}",
            f"--trainer.batch_size={BATCH}",
            f"--trainer.max_epochs={sizes.epochs}",
        ]
    )
    what = f"training step, gated VAE, VampPrior of {pseudo_inputs}, batch {BATCH}"
    data = dynamic_task(random_images(images))
    with separate_process() as time_apart:
        epoch = partial(time_apart, vampprior_epoch, images, BATCH, pseudo_inputs)
        sides = interleaved_epochs(config, data, [epoch], prefixed(progress, what))
    own, other = (milliseconds_per_step(side, images) for side in sides)
    return [compare(what, "the way of its authors' code", "ms", own, other, 2)]


def peer_rows(python: Path, sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    torch.set_num_threads(1)
    pipelines, vampprior, flows, keops = split_progress(progress, [1] * 4)
    with peer_process(python) as time_peer:
        return [
            *pipeline_rows(time_peer, sizes, pipelines),
            *vampprior_rows(sizes, vampprior),
            *flow_rows(time_peer, sizes, flows),
            *keops_rows(time_peer, sizes, keops),
        ]
