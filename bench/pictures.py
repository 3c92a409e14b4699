"""A model's images to look at: samples and reconstructions beside data, as grids."""

import io
from base64 import b64encode

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.data.tasks import TaskData
from bench.models.terms import Model
from bench.noise import Noise

SHOWN_IMAGES = 36


@torch.no_grad()
def shown_images(model: Model, data: TaskData, seed: int, device: str) -> dict[str, Tensor]:
    """Return images to look at, (n, D) in units of levels: samples, data, reconstructions."""
    y = data.test[:SHOWN_IMAGES].to(device)
    images = {
        "data": y.float(),
        "samples": model.sample_mean(SHOWN_IMAGES, Noise(seed, "shown", device=device)),
    }
    if hasattr(model, "reconstruct"):
        images["reconstructions"] = model.reconstruct(y)
    return {name: values.cpu() for name, values in images.items()}


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


def png(images: Tensor, data: TaskData) -> str:
    """Return a grid of images as a PNG in base64."""
    stream = io.BytesIO()
    Image.fromarray(grid_of(images, data).squeeze()).save(stream, "png", optimize=True)
    return b64encode(stream.getvalue()).decode()
