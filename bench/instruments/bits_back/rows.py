"""What a trained VAE really sends for a test split, beside the bounds that promise it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import log, sqrt
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from bench.estimators.evaluate import evaluate_evidence, terms_of_block
from bench.instruments.bits_back.chain import BitsBack, Message, codable, one_thread
from bench.instruments.codecs import CodecRow
from bench.instruments.progress import PartProgress, split_progress
from bench.noise import EVALUATION_BLOCK, derive_seed
from bench.records.key import key_of
from bench.records.provenance import commit_label, describe_data, package_version
from bench.records.row import data_hash
from bench.runs.trained import Trained, load_trained
from bench.settings import EvaluationConfig

# Logarithms of the number of bins, to see what few cost, on the first images of the split.
FEWER_LATENT_BITS = (3, 4, 5, 6, 8, 10, 12)
FEWER_IMAGES = 1000
# A header would hold the number of images and of latent bits.
HEADER_BYTES = 5
# Images that pass the networks alone, for their time.
TIMED = 300


class BitsBackRow(TypedDict):
    """A row of bits_back.csv: a checkpoint, a number of bins and a number of images.

    Attributes:
        task: The task's name.
        model: The model's name.
        key: The run that the weights are of.
        prior: The prior p(z).
        decoder: The likelihood p(y|z).
        latent_dimensions: Number of dimensions of z.
        latent_bits: Logarithm of the number of bins of each.
        n: Number of images, the first of the test split.
        bits_per_dim: What the images have added to the stack.
        start_up_bits: What had to be there before the first image.
        bits_per_dim_with_start_up: All that is sent.
        elbo_bits_per_dim: −ELBO of the same images.
        elbo_bits_per_dim_stderr: Its Monte-Carlo error.
        bits_above_elbo: bits_per_dim − elbo_bits_per_dim.
        bits_above_elbo_stderr: Its error, by the random z of both.
        importance_samples: K of the bound L_K; empty where it was not taken.
        importance_bits_per_dim: −L_K of the same images.
        commit: Commit of the benchmark.
        data_sha256: Hash of the task's data.
    """

    task: str
    model: str
    key: str
    prior: str
    decoder: str
    latent_dimensions: int
    latent_bits: int
    n: int
    bits_per_dim: float
    start_up_bits: int
    bits_per_dim_with_start_up: float
    elbo_bits_per_dim: float
    elbo_bits_per_dim_stderr: float
    bits_above_elbo: float
    bits_above_elbo_stderr: float
    importance_samples: int | None
    importance_bits_per_dim: float | None
    commit: str | None
    data_sha256: str


class Speed(TypedDict):
    """A row of timings.csv: images per second on one thread.

    Attributes:
        task: The task's name.
        key: The run that the weights are of.
        compress: Whole images compressed.
        decompress: Whole images decompressed.
        networks: Images that pass encoder and decoder network, which is the floor of both.
    """

    task: str
    key: str
    compress: float
    decompress: float
    networks: float


@dataclass(frozen=True)
class Coded:
    """A test split that was compressed and came back identical.

    Attributes:
        codecs: Rows for the table of all codecs.
        rows: What was sent beside the bounds, with as many bins as asked for first.
        speed: How fast.
    """

    codecs: list[CodecRow]
    rows: list[BitsBackRow]
    speed: Speed


def open_checkpoint(checkpoint: Path | str, latent_bits: int) -> tuple[Trained, BitsBack]:
    """Return a checkpoint's content, ready for evaluation, and its model as a codec.

    Raises:
        InputError: The checkpoint cannot be read, or its model cannot be coded.
    """
    trained = load_trained(checkpoint)
    trained.model.eval()
    codable(trained.model).attach(trained.data.train)
    return trained, BitsBack(trained.model, latent_bits)


def measure_codec(
    trained: Trained, codec: BitsBack, importance_samples: int, progress: PartProgress
) -> Coded:
    """Compress the whole test split, decompress it, compare, and take the bounds of the same images.

    Raises:
        RuntimeError: A decoded image differs from the original.
    """
    bounds, sending, fewer = split_progress(progress, [1, 2, 1])
    elbo, importance = evidence(trained, importance_samples, lambda done: bounds(done, "bounds"))
    message, speed = sent_and_received(codec, trained, sending)
    rows = [row_of(codec, trained, message, elbo, (importance_samples, importance))]
    for number, bits in enumerate(FEWER_LATENT_BITS):
        fewer(number / len(FEWER_LATENT_BITS), f"2^{bits} bins")
        other = BitsBack(codec.model, bits)
        few = other.compress(trained.data.test[:FEWER_IMAGES])
        rows.append(row_of(other, trained, few, elbo[:, :FEWER_IMAGES], (None, None)))
    return Coded(codec_rows_of(trained, message), rows, speed)


@torch.no_grad()
def evidence(
    trained: Trained, samples: int, progress: Callable[[float], None]
) -> tuple[Tensor, float]:
    """Return each sample's ELBO of all test images (samples, n), and the mean of L_K, in nats."""
    config = EvaluationConfig(importance_samples=samples)
    key = (derive_seed(trained.config["seed"], "evaluation"), "test")
    images = trained.data.test
    blocks = enumerate(images.split(EVALUATION_BLOCK))
    parts = [
        terms_of_block(trained.model, y, config.elbo_samples, *key, number).elbo.double()
        for number, y in blocks
    ]
    elbo = torch.cat(parts, dim=1)
    columns = evaluate_evidence(trained.model, images, config, key, elbo, progress)
    return elbo, columns["log_likelihood"].value


def sent_and_received(
    codec: BitsBack, trained: Trained, progress: PartProgress
) -> tuple[Message, Speed]:
    """Return the message of the whole test split, which comes back identical, and how fast."""
    images = trained.data.test
    first, second = split_progress(progress, [1, 1])
    started = time.perf_counter()
    message = codec.compress(images, lambda done: first(done, "compressing"))
    compressed = time.perf_counter()
    found = codec.decompress(message, lambda done: second(done, "decompressing"))
    decompressed = time.perf_counter()
    if not torch.equal(found, images):
        raise RuntimeError(f"bits-back: a decoded image of {trained.data.task.name} differs")
    speed: Speed = {
        "task": trained.data.task.name,
        "key": key_of(trained.config),
        "compress": len(images) / (compressed - started),
        "decompress": len(images) / (decompressed - compressed),
        "networks": networks_per_second(codec, images[:TIMED]),
    }
    return message, speed


@torch.no_grad()
def networks_per_second(codec: BitsBack, images: Tensor) -> float:
    """Return how many images a second pass encoder and decoder network one by one."""
    with one_thread():
        started = time.perf_counter()
        for y in images:
            codec.model.decode(codec.model.posterior(y[None]).loc)
        return len(images) / (time.perf_counter() - started)


def row_of(
    codec: BitsBack,
    trained: Trained,
    message: Message,
    elbo: Tensor,
    importance: tuple[int | None, float | None],
) -> BitsBackRow:
    """Return the row of a message, given the ELBO (samples, n) of its images, and K and L_K in nats."""
    model, data = codec.model, trained.data
    samples, n = elbo.shape
    pixels, nats = n * data.dimensions, data.dimensions * log(2)
    # The variance over z of one image's bits, over n²: once for the message, and once for each sample.
    variance = elbo.var(0).sum().item() / n**2 / nats**2
    bound = -elbo.mean().item() / nats
    return {
        "task": data.task.name,
        "model": trained.name,
        "key": key_of(trained.config),
        "prior": model.prior_name,
        "decoder": model.decoder_name,
        "latent_dimensions": model.latent_dimensions,
        "latent_bits": codec.latent_bits,
        "n": n,
        "bits_per_dim": message.net_bits / pixels,
        "start_up_bits": message.start_up_bits,
        "bits_per_dim_with_start_up": message.bits / pixels,
        "elbo_bits_per_dim": bound,
        "elbo_bits_per_dim_stderr": sqrt(variance / samples),
        "bits_above_elbo": message.net_bits / pixels - bound,
        "bits_above_elbo_stderr": sqrt(variance + variance / samples),
        "importance_samples": importance[0],
        "importance_bits_per_dim": None if importance[1] is None else -importance[1] / nats,
        "commit": commit_label(),
        "data_sha256": data_hash(describe_data(data)),
    }


def codec_rows_of(trained: Trained, message: Message) -> list[CodecRow]:
    """Return the rows of a message in the table of all codecs."""
    sizes = {"with": HEADER_BYTES + 4 * len(message.words), "without": -(-message.net_bits // 8)}
    key = key_of(trained.config)
    return [
        {
            "task": trained.data.task.name,
            "codec": f"bits back, {trained.name}",
            "layout": "chain",
            "headers": headers,
            "bytes": size,
            "bits_per_dim": 8 * size / trained.data.test.numel(),
            "n": message.images,
            "software": f"constriction {package_version('constriction')}, weights {key}",
            "commit": commit_label(),
            "data_sha256": data_hash(describe_data(trained.data)),
        }
        for headers, size in sizes.items()
    ]
