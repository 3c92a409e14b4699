"""Speed of annealed importance sampling of a VAE's posterior, the gated network of MNIST."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.configuration.models import make_model, model_settings
from bench.inspection.annealer import Annealer, schedule
from bench.inspection.blocks import Observed, block_of, check_model
from bench.instruments.perf.floors import layer_sizes, products
from bench.instruments.perf.interleaved import (
    Alternative,
    Comparison,
    Timed,
    Work,
    compared,
    seconds,
)
from bench.instruments.perf.separate_process import separate_process
from bench.instruments.perf.sizes import Sizes
from bench.instruments.perf.training import random_images
from bench.instruments.progress import PartProgress
from bench.models.vae import VAE
from bench.noise import EVALUATION_BLOCK, Noise

CHAINS, LEAPFROG_STEPS, STEP = 16, 3, 0.7
# Temperatures for which the time is reported; it is proportional to them.
TEMPERATURES = 100
FEW_IMAGES = 2


def gated_vae() -> VAE:
    return check_model(make_model(model_settings("gated_vae"), (1, 28, 28), 2, 1).eval())


def annealed(model: VAE, y: Tensor, temperatures: int) -> Tensor:
    """Return the log-weights of y (batch, 784) of chains from q(z|y), (CHAINS, batch)."""
    sizes = [torch.full((1,), STEP)] * temperatures
    betas = schedule("posterior", temperatures)
    spread = torch.ones(model.latent_dimensions)
    annealer = Annealer("posterior", betas, LEAPFROG_STEPS, sizes, spread)
    block = block_of(model, Observed(y, y), "posterior", Noise("components"))
    return annealer.below(block, CHAINS, Noise("chains"))[0]


@torch.no_grad()
def one_image_at_a_time(model: VAE, y: Tensor, temperatures: int) -> Tensor:
    """Return the same, as one writes it first: a loop over images, the joint density by autograd."""
    return torch.stack([of_one_image(model, image, temperatures) for image in y], 1)


def of_one_image(model: VAE, image: Tensor, temperatures: int) -> Tensor:
    """Return the log-weights (CHAINS,) of one image, less constants of the prior's density."""
    q, x = model.posterior(image[None]), image.float().expand(CHAINS, -1)

    def log_joint(z: Tensor) -> Tensor:
        logits = model.decode(z)[:, 0]
        error = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
        return -error.sum(1) - 0.5 * z.square().sum(1)

    def energy(z: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = beta * log_joint(z) + (1 - beta) * q.log_prob(z)
            return value.detach(), torch.autograd.grad(value.sum(), z)[0]

    z = q.sample(Noise("chains"), CHAINS)[:, 0]
    weights = torch.zeros(CHAINS, dtype=torch.float64)
    step = STEP * q.scale
    for number in range(1, temperatures + 1):
        weights += (log_joint(z) - q.log_prob(z)).double() / temperatures
        momentum, moved = torch.randn_like(z), z
        value, gradient = energy(z, number / temperatures)
        before = value - 0.5 * momentum.square().sum(1)
        for _ in range(LEAPFROG_STEPS):
            momentum = momentum + 0.5 * step * gradient
            moved = moved + step * momentum
            value, gradient = energy(moved, number / temperatures)
            momentum = momentum + 0.5 * step * gradient
        ratio = value - 0.5 * momentum.square().sum(1) - before
        z = torch.where((torch.rand(CHAINS).log() < ratio)[:, None], moved, z)
    return weights


def loop_work(images: int, temperatures: int) -> Work:
    model, y = gated_vae(), random_images(images, levels=2)
    return lambda: one_image_at_a_time(model, y, temperatures)


def annealing_rows(sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    torch.set_num_threads(1)
    model, y = gated_vae(), random_images(EVALUATION_BLOCK, levels=2)
    temperatures, rows = sizes.temperatures, CHAINS * EVALUATION_BLOCK
    product = input_products(layer_sizes(model.decoder_network), rows)
    floor = lambda: [product() for _ in range(LEAPFROG_STEPS * temperatures)]
    ours = Timed(
        f"annealing, gated VAE, {CHAINS} chains, {TEMPERATURES} temperatures",
        "ms an image",
        1e3 * TEMPERATURES / temperatures,
        partial(annealed, model, y, temperatures),
        len(y),
    )
    with separate_process() as time_apart:
        others = [
            Alternative("products of values and gradients", lambda: seconds(floor), len(y), 0.65),
            Alternative(
                "a loop over images",
                partial(time_apart, loop_work, FEW_IMAGES, temperatures),
                FEW_IMAGES,
                2,
            ),
        ]
        return compared(ours, others, sizes.repeats, progress)


def input_products(sizes: list[tuple[int, int]], rows: int) -> Work:
    """Return the matrix products of a network's outputs and of the gradients of its inputs."""
    forward = products(sizes, rows, backward=False)
    back = products([(outputs, inputs) for inputs, outputs in sizes], rows, backward=False)
    return lambda: (forward(), back())
