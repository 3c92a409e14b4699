"""Speed of training, with logging, validation and checkpoints, compared with bare loops."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from bench.configuration.job import Job
from bench.configuration.models import build_model
from bench.configuration.parsing import parse_run
from bench.data.tasks import Task, TaskData
from bench.instruments.perf.floors import layer_sizes, products
from bench.instruments.perf.interleaved import Comparison, Work, compare, seconds
from bench.instruments.perf.sizes import Sizes
from bench.instruments.progress import PartProgress, prefixed, split_progress
from bench.models.vae import VAE
from bench.records.key import key_of
from bench.records.types import Config
from bench.runs.plan import plan_of
from bench.system.printing import say
from bench.training.fit import Listeners, fit

SIDE = 28


@dataclass(frozen=True)
class Architecture:
    """Sizes of a VAE on MNIST's images.

    Attributes:
        name: Its name in tables.
        widths: Hidden layers of the encoder, and of the decoder.
        activation: Their activation.
        latent: Number of latent dimensions.
    """

    name: str
    widths: tuple[int, ...]
    activation: Literal["tanh", "relu"]
    latent: int


DEEP = Architecture("784-200-200-50", (200, 200), "tanh", 50)
SHALLOW = Architecture("784-400-20", (400,), "relu", 20)
ARCHITECTURES = (DEEP, SHALLOW)
# Target ratios: for the hand-written loop by size of a batch, and for the floor.
LOOP_TARGETS = {100: 0.95, 512: 0.97}
FLOOR_TARGETS = {100: 0.5}


def random_images(n: int, levels: int = 256) -> Tensor:
    """Return random images of MNIST's size, (n, 784): their content does not change the time."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(levels, (n, SIDE**2), generator=generator, dtype=torch.uint8)


def dynamic_task(images: Tensor) -> TaskData:
    """Return dynamically binarized MNIST with these grey training images (n, 784)."""
    return TaskData(
        task=Task("mnist", "dynamic"),
        shape=(1, SIDE, SIDE),
        train=(images > 127).to(torch.uint8),
        validation=random_images(min(1000, len(images) // 5), levels=2),
        test=random_images(100, levels=2),
        intensities=images,
        payload_sha256={},
        split_sha256="",
    )


class HandWrittenVAE(nn.Module):
    """The VAE that a researcher would write in one file, without a framework."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        activation = {"tanh": nn.Tanh, "relu": nn.ReLU}[architecture.activation]

        def stack(*sizes: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for a, b in zip(sizes, sizes[1:-1]):
                layers += [nn.Linear(a, b), activation()]
            return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))

        widths, latent = architecture.widths, architecture.latent
        self.encoder = stack(SIDE**2, *widths, 2 * latent)
        self.decoder = stack(latent, *widths, SIDE**2)

    def loss(self, y: Tensor) -> Tensor:
        """Return the negative ELBO in nats, the mean over the batch y (batch, 784)."""
        mean, log_variance = self.encoder(y).chunk(2, 1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        error = F.binary_cross_entropy_with_logits(self.decoder(z), y, reduction="sum")
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        return (error + kl) / len(y)


def hand_written_epoch(model: HandWrittenVAE, images: Tensor, batch: int) -> Work:
    """Return an epoch with fused Adam over dynamically binarized images (n, 784)."""
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
    """Times whole epochs, and does other work between them, outside that time.

    An epoch lasts from its start to the start of the next, so it includes validation, logging and
    checkpoints. Lightning calls callbacks in their order; this one must be the first.

    Args:
        between: Work to do after each epoch, which returns its own seconds.
    """

    def __init__(self, between: list[Callable[[], float]]) -> None:
        self.between = between
        self.times: list[list[float]] = [[] for _ in range(1 + len(between))]
        self.started: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.end_epoch()
        self.started = time.perf_counter()

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.end_epoch()

    def end_epoch(self) -> None:
        """Note the time of the epoch that has started, if any, and do the other work."""
        if self.started is None:
            return
        took = [time.perf_counter() - self.started, *(work() for work in self.between)]
        for times, value in zip(self.times, took):
            times.append(value)


def interleaved_epochs(
    config: Config, data: TaskData, between: list[Callable[[], float]], progress: PartProgress
) -> list[list[float]]:
    """Train as `bench train` does, and do other work after every epoch, outside its time.

    Args:
        config: Configuration of the run.
        data: Its images.
        between: Other work, which returns its own seconds.
        progress: Called with the training's progress.

    Returns:
        Seconds of each epoch of ours, then of every entry of ``between``, without the first epoch,
        which includes the start-up.
    """
    clock = EpochClock(between)
    model = build_model(config, data.shape, data.task.levels)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(config, "model", key_of(config), folder, "disabled")
        of_training = lambda phase, share, text: progress(share, text)
        listeners = Listeners(of_training, say, callbacks=[clock])
        fit(model, data, plan_of(job, torch.device("cpu")), [torch.device("cpu")], listeners)
    return [values[1:] for values in clock.times]


def vae_options(architecture: Architecture, batch: int, epochs: int) -> list[str]:
    """Return options of `bench train`."""
    widths = list(architecture.widths)
    init_args = f"{{widths: {widths}, activation: {architecture.activation}}}"
    network = f"{{class_path: MLP, init_args: {init_args}}}"
    return [
        "--data=mnist-dynamic",
        "--model=bernoulli_vae",
        f"--model.latent_dimensions={architecture.latent}",
        f"--model.encoder={network}",
        f"--model.decoder_network={network}",
        f"--trainer.batch_size={batch}",
        f"--trainer.max_epochs={epochs}",
    ]


def untrained(architecture: Architecture) -> VAE:
    """Return an untrained VAE of the benchmark, in evaluation mode."""
    config = parse_run(vae_options(architecture, 100, 1))
    model = build_model(config, (1, SIDE, SIDE), 2).eval()
    assert isinstance(model, VAE)  # as configs/model/bernoulli_vae.yaml says
    return model


def training_rows(sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    torch.set_num_threads(1)
    images = random_images(sizes.images)
    cases = [(architecture, batch) for architecture in ARCHITECTURES for batch in sizes.batches]
    parts = split_progress(progress, [1] * len(cases))
    return [
        row
        for (architecture, batch), part in zip(cases, parts)
        for row in rows_of_training(images, architecture, batch, sizes.epochs, part)
    ]


def rows_of_training(
    images: Tensor, architecture: Architecture, batch: int, epochs: int, progress: PartProgress
) -> list[Comparison]:
    steps = len(images) // batch
    by_hand = HandWrittenVAE(architecture)
    loop = hand_written_epoch(by_hand, images, batch)
    floor = products(layer_sizes(by_hand), batch, backward=True)
    floor_of_epoch = lambda: [floor() for _ in range(steps)]
    config = parse_run(vae_options(architecture, batch, epochs))
    what = f"training step, Bernoulli VAE {architecture.name}, batch {batch}"
    between = [lambda: seconds(loop), lambda: seconds(floor_of_epoch)]
    times = interleaved_epochs(config, dynamic_task(images), between, prefixed(progress, what))
    ours, other, products_alone = ([1e3 * value / steps for value in values] for values in times)
    loop_target, floor_target = LOOP_TARGETS.get(batch), FLOOR_TARGETS.get(batch)
    return [
        compare(what, "hand-written loop, fused Adam", "ms", ours, other, loop_target),
        compare(what, "its matrix products alone", "ms", ours, products_alone, floor_target),
    ]
