"""Speed of the local optimization of q, a block at a time, against a plain loop over the images."""

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from bench.inspection.gaps import own_family
from bench.inspection.joint_density import joint_density
from bench.inspection.local_posteriors import LocalOptimization, optimized
from bench.instruments.perf.annealing import gated_vae
from bench.instruments.perf.interleaved import Alternative, Comparison, Timed, Work, compared
from bench.instruments.perf.separate_process import separate_process
from bench.instruments.perf.sizes import Sizes
from bench.instruments.perf.training import random_images
from bench.instruments.progress import PartProgress
from bench.models.vae import VAE

BLOCK, FEW_IMAGES = 100, 5
# A loop over images has small matrices; a block has the size of a mini-batch.
TARGET = 2.0


def how_long(steps: int) -> LocalOptimization:
    """Return one stage of so many steps."""
    return LocalOptimization(steps=steps, most_stages=1)


def optimize_block(model: VAE, y: Tensor, how: LocalOptimization) -> tuple[Tensor, Tensor]:
    """Return means and log-deviations of the best diagonal normals of a block, (batch, latent) each."""
    joint = joint_density(model, y, 0)
    found = optimized(joint.differentiable, own_family(model, y), how, 0)
    loc, log_scale = found.parameters.chunk(2, dim=1)
    return loc, log_scale


def one_image_at_a_time(model: VAE, y: Tensor, how: LocalOptimization) -> tuple[Tensor, Tensor]:
    """Return the same of a Bernoulli VAE by a plain loop: an optimizer of PyTorch for each image."""
    every = []
    for image in y:
        with torch.no_grad():
            start = model.posterior(image[None])
        loc = start.loc[0].clone().requires_grad_()
        log_scale = start.log_scale[0].clone().requires_grad_()
        optimizer = torch.optim.Adam([loc, log_scale], lr=how.learning_rate)
        standard = Independent(Normal(torch.zeros_like(loc), torch.ones_like(loc)), 1)
        for _ in range(how.steps):
            z = Independent(Normal(loc, log_scale.exp()), 1).rsample((how.samples,))
            fixed = Independent(Normal(loc.detach(), log_scale.detach().exp()), 1)
            logits = model.decode(z)[:, 0]
            error = torch.nn.functional.binary_cross_entropy_with_logits(
                logits, image.float().expand_as(logits), reduction="none"
            ).sum(1)
            loss = (error - standard.log_prob(z) + fixed.log_prob(z)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        every.append((loc.detach(), log_scale.detach()))
    return torch.stack([loc for loc, _ in every]), torch.stack([scale for _, scale in every])


def loop_work(images: int, steps: int) -> Work:
    model, y = gated_vae(), random_images(images, levels=2)
    return lambda: one_image_at_a_time(model, y, how_long(steps))


def optimization_rows(sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    """Time a step of q's local optimization, for each image."""
    torch.set_num_threads(1)
    model, y, how = gated_vae(), random_images(BLOCK, levels=2), how_long(sizes.steps)
    block = lambda: optimize_block(model, y, how)
    ours = Timed(
        "local optimization of q, gated VAE",
        "ms an image and step",
        1e3 / sizes.steps,
        block,
        BLOCK,
    )
    with separate_process() as time_apart:
        loop = lambda: time_apart(loop_work, FEW_IMAGES, sizes.steps)
        other = Alternative("a loop over the images", loop, FEW_IMAGES, TARGET)
        return compared(ours, [other], sizes.repeats, progress)
