"""A model's pictures: samples and reconstructions beside data, as grids, and its latent space."""

import io
from base64 import b64encode

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.data.tasks import TaskData
from bench.models.terms import Model
from bench.models.vae import VAE
from bench.noise import Noise
from bench.records.types import LatentMap

SHOWN_IMAGES = 36
# Smallest side in pixels of a picture that is shown in its own size.
SEEN = 224
# Of the map of a latent space: draws from the prior and from q_agg, encoded data, cells per side.
DRAWS, ENCODED, CELLS = 40_000, 4_000, 32


@torch.no_grad()
def shown_images(model: Model, data: TaskData, seed: int, device: str) -> dict[str, Tensor]:
    """Return images to look at, (n, D) in units of levels: samples, data, reconstructions.

    Of a VAE also images decoded from q_agg, the aggregated posterior of the training split.
    """
    y = data.test[:SHOWN_IMAGES].to(device)
    images = {
        "data": y.float(),
        "samples": model.sample_mean(SHOWN_IMAGES, Noise(seed, "shown", device=device)),
    }
    reconstruct = getattr(model, "reconstruct", None)
    if reconstruct is not None:
        images["reconstructions"] = reconstruct(y)
    if isinstance(model, VAE):
        noise = Noise(seed, "shown aggregate", device=device)
        chosen = (noise.uniform(SHOWN_IMAGES, 1)[:, 0] * len(data.train)).long().cpu()
        z = model.posterior(data.train[chosen].to(device)).sample(noise, 1)[0]
        images["samples_aggregate"] = model.decode_mean(z)
    return {name: values.cpu() for name, values in images.items()}


@torch.no_grad()
def latent_map(model: Model, data: TaskData, seed: int, device: str) -> LatentMap | None:
    """Return where prior and q_agg of the training split put their mass, as plain data.

    The axes are the two principal axes of the posteriors' means. ``prior`` and ``aggregate`` are
    CELLS × CELLS bytes in base64, rows from low to high on the second axis: shares of DRAWS draws,
    where 255 is the largest cell of both. ``low`` and ``high`` are the ends of the axes, ``share`` is
    each axis' share of the means' variance. None for a model that is not a VAE, has a single latent
    dimension, or whose prior overflows.
    """
    if not isinstance(model, VAE) or model.latent_dimensions < 2:
        return None
    noise = Noise(seed, "latent", device=device)
    chosen = noise.shared_permutation(len(data.train))[:ENCODED].cpu()
    posterior = model.posterior(data.train[chosen].to(device))
    aggregate = posterior.sample(noise, -(-DRAWS // len(chosen))).flatten(0, 1)[:DRAWS]
    prior = model.prior_density(noise, None).sample(DRAWS, noise)
    means = posterior.loc.double().cpu()
    axes, share = principal_axes(means)
    drawn = [(z.double().cpu() - means.mean(0)) @ axes for z in (prior, aggregate)]
    ends = torch.cat([d.quantile(torch.tensor([0.001, 0.999], dtype=d.dtype), 0) for d in drawn])
    low, high = ends.amin(0), ends.amax(0)
    if not (high - low).isfinite().all():
        return None
    counts = torch.stack([counted(d, low, high) for d in drawn])
    grids = (counts * (255 / counts.max())).round().to(torch.uint8).numpy()
    encoded = [b64encode(grid.tobytes()).decode() for grid in grids]
    low_end, high_end, shares = (
        [round(value, 4) for value in values.tolist()] for values in (low, high, share)
    )
    return {
        "low": low_end,
        "high": high_end,
        "share": shares,
        "prior": encoded[0],
        "aggregate": encoded[1],
    }


def principal_axes(means: Tensor) -> tuple[Tensor, Tensor]:
    """Return two principal axes of means (n, latent), as columns, and their shares of the variance (2,)."""
    variances, axes = torch.linalg.eigh((means - means.mean(0)).T.cov(correction=0))
    axes = axes[:, [-1, -2]]
    # An eigenvector's sign is arbitrary; its largest component is made positive.
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    return axes, variances[[-1, -2]] / variances.sum().clamp(min=1e-30)


def counted(points: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return how many of the points (n, 2) fall into each cell, (CELLS²,)."""
    cells = ((points - low) / (high - low) * CELLS).floor().long()
    inside = ((cells >= 0) & (cells < CELLS)).all(1)
    return torch.bincount(cells[inside] @ torch.tensor([1, CELLS]), minlength=CELLS**2).double()


def grid_of(images: Tensor, data: TaskData) -> np.ndarray:
    """Lay images (n, D) out as a square grid of uint8, with a pixel of white between them."""
    side = int(len(images) ** 0.5)
    channels, height, width = data.shape
    scaled = (images / (data.task.levels - 1)).clamp(0, 1).mul(255).round().to(torch.uint8)
    canvas = np.full((side * (height + 1) + 1, side * (width + 1) + 1, channels), 255, np.uint8)
    for position, image in enumerate(scaled.view(-1, *data.shape)[: side**2]):
        top, left = (position // side) * (height + 1) + 1, (position % side) * (width + 1) + 1
        canvas[top : top + height, left : left + width] = image.permute(1, 2, 0).numpy()
    return canvas


def enlarged(canvas: np.ndarray) -> np.ndarray:
    """Repeat the pixels of an image (height, width, channels) until both sides are SEEN at least."""
    factor = -(-SEEN // min(canvas.shape[:2]))
    return canvas.repeat(factor, 0).repeat(factor, 1)


def png(images: Tensor, data: TaskData) -> str:
    """Return a grid of images as a PNG in base64."""
    stream = io.BytesIO()
    Image.fromarray(grid_of(images, data).squeeze()).save(stream, "png", optimize=True)
    return b64encode(stream.getvalue()).decode()
