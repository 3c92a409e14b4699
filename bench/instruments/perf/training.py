"""Speed of the training path, with its logging, validation and checkpoints, against bare loops."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import Callback
from torch import nn

from bench.configuration.job import Job
from bench.configuration.parsing import build_model, parse_run
from bench.data.tasks import Task, TaskData
from bench.instruments.perf.floors import layer_sizes, products
from bench.instruments.perf.interleaved import Comparison, compare, seconds
from bench.instruments.perf.sizes import Sizes, Tell, about, part_of
from bench.models.terms import Model
from bench.records.key import key_of
from bench.training.fit import fit

SIDE = 28
# (name, widths, activation, latent dimensions) of the networks.
NETWORKS = (
    ("784-200-200-50", [200, 200], "tanh", 50),
    ("784-400-20", [400], "relu", 20),
)
# Throughput that is wanted against the hand-written loop, by batch, and against the floor.
LOOP_TARGETS = {100: 0.95, 512: 0.97}
FLOOR_TARGETS = {100: 0.5}


def made_up_images(levels: int, n: int) -> TaskData:
    """Return n random images of MNIST's format: what they show does not change the time."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda n, top: torch.randint(top, (n, SIDE**2), generator=generator, dtype=torch.uint8)
    images = draw(n, 256 if levels == 2 else levels)
    binarization = "dynamic" if levels == 2 else "none"
    return TaskData(
        task=Task("mnist", binarization),
        shape=(1, SIDE, SIDE),
        train=(images > 127).to(torch.uint8) if levels == 2 else images,
        validation=draw(min(1000, n // 5), levels),
        test=draw(100, levels),
        intensities=images if levels == 2 else None,
        payload_sha256={},
        split_sha256="",
    )


class HandWrittenVAE(nn.Module):
    """The loop that a researcher would write: one file, no framework, fused Adam."""

    def __init__(self, widths: list[int], activation: str, latent: int):
        super().__init__()
        function = {"tanh": nn.Tanh, "relu": nn.ReLU}[activation]

        def stack(*sizes: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for a, b in zip(sizes, sizes[1:-1]):
                layers += [nn.Linear(a, b), function()]
            return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))

        self.encoder = stack(SIDE**2, *widths, 2 * latent)
        self.decoder = stack(latent, *widths, SIDE**2)

    def loss(self, y: torch.Tensor) -> torch.Tensor:
        mean, log_variance = self.encoder(y).chunk(2, 1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        error = F.binary_cross_entropy_with_logits(self.decoder(z), y, reduction="sum")
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        return (error + kl) / len(y)


def hand_written_epoch(model: HandWrittenVAE, images: torch.Tensor, batch: int) -> Callable:
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)

    def epoch() -> None:
        order = torch.randperm(len(images))
        for start in range(0, len(images) - batch + 1, batch):
            grey = images[order[start : start + batch]]
            y = (torch.rand(grey.shape) * 255 < grey).float()
            optimizer.zero_grad()
            model.loss(y).backward()
            optimizer.step()

    return epoch


class EpochClock(Callback):
    """Takes the time of whole epochs, and does other work between them, outside that time.

    An epoch lasts from its start to the start of the next: validation, logging and checkpoint are
    in it. Lightning calls callbacks in their order; this one has to be the first.

    Args:
        between: Work to do after each epoch, which returns its own seconds.
    """

    def __init__(self, between: list[Callable[[], float]]):
        self.between = between
        self.times: list[list[float]] = [[] for _ in range(1 + len(between))]
        self.started: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.started is not None:
            self.note_epoch()
        self.started = time.perf_counter()

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.note_epoch()

    def note_epoch(self) -> None:
        took = [time.perf_counter() - self.started, *(work() for work in self.between)]
        for times, value in zip(self.times, took):
            times.append(value)


def epochs_beside(
    config: dict, data: TaskData, between: list[Callable[[], float]], tell: Tell
) -> list[list[float]]:
    """Train by the real path and do other work after every epoch, outside its time.

    Args:
        config: Configuration of the run.
        data: Its images.
        between: Other work, which returns its own seconds.
        tell: Is told how far it is.

    Returns:
        Seconds of each epoch, first of ours, then of every entry of ``between``; the first epoch,
        in which everything starts, is left out.
    """
    clock = EpochClock(between)
    model = build_model(config, data.shape, data.task.levels)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(config, "model", key_of(config), str(Path(folder)), "disabled")
        report = lambda phase, share, text: tell(share, text)
        fit(model, data, job, [torch.device("cpu")], None, report, print, [clock])
    return [values[1:] for values in clock.times]


def vae_options(
    widths: list[int], activation: str, latent: int, batch: int, epochs: int
) -> list[str]:
    network = f"{{class_path: MLP, init_args: {{widths: {widths}, activation: {activation}}}}}"
    return [
        "--data=mnist-dynamic",
        "--model=bernoulli_vae",
        f"--model.latent_dimensions={latent}",
        f"--model.encoder={network}",
        f"--model.decoder_network={network}",
        f"--trainer.batch_size={batch}",
        f"--trainer.max_epochs={epochs}",
    ]


def untrained(network: tuple) -> Model:
    """Return the benchmark's own VAE of one of the networks, in evaluation mode."""
    config = parse_run(vae_options(*network[1:], 100, 1))
    return build_model(config, (1, SIDE, SIDE), 2).eval()


def training_rows(sizes: Sizes, tell: Tell) -> list[Comparison]:
    torch.set_num_threads(1)
    data = made_up_images(2, sizes.images)
    cases = [(network, batch) for network in NETWORKS for batch in sizes.batches]
    return [
        row
        for number, case in enumerate(cases)
        for row in rows_of(data, *case, sizes.epochs, part_of(tell, number, len(cases)))
    ]


def rows_of(
    data: TaskData, network: tuple, batch: int, epochs: int, tell: Tell
) -> list[Comparison]:
    name, *parts = network
    steps = len(data.train) // batch
    hand = HandWrittenVAE(*parts)
    floor = products(layer_sizes(hand), batch, backward=True)
    loop = hand_written_epoch(hand, data.intensities, batch)
    least = lambda: [floor() for _ in range(steps)]
    config = parse_run(vae_options(*parts, batch, epochs))
    what = f"training step, Bernoulli VAE {name}, batch {batch}"
    between = [lambda: seconds(loop), lambda: seconds(least)]
    times = epochs_beside(config, data, between, about(tell, what))
    ours, other, products_alone = ([1e3 * value / steps for value in values] for values in times)
    loop_target, floor_target = LOOP_TARGETS.get(batch), FLOOR_TARGETS.get(batch)
    return [
        compare(what, "hand-written loop, fused Adam", "ms", ours, other, loop_target),
        compare(what, "its matrix products alone", "ms", ours, products_alone, floor_target),
    ]
