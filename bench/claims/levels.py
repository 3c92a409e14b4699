"""Claim 8: the mass that a model gives to levels that occur in no training image."""

from math import sqrt

import torch
from torch import Tensor

from bench.claims.curves import LevelsCurve, curve_subject
from bench.claims.rows import Row, Subject, at_most
from bench.data.tasks import ArrayTask, TaskData
from bench.densities.decoders import Categorical, Gaussian
from bench.densities.discretized import log_mass_of_pixels
from bench.models.terms import Model
from bench.models.vae import VAE
from bench.noise import Noise

# Mass on unseen levels over their share in test images. It is near 1 for a model that interpolates
# between neighbouring levels, and near 0 for a model of unrelated levels; a tenth and a half leave
# room for a decoder that is too broad by underfitting, or narrower than a level.
ALMOST_NONE, NEARLY_ALL = 0.1, 0.5
SAMPLED_IMAGES = 2000


@torch.no_grad()
def masses_of_images(model: VAE, y: Tensor, noise: Noise) -> Tensor:
    """Return P(y_d = level | z) averaged over pixels, (n, levels), with one z ~ q(z|y) per image.

    For a dequantized decoder, the mass is the integral of its density over the level's bin. These
    masses may sum to less than 1, because a density may have mass outside [0, 1].
    """
    outputs = model.decode(model.posterior(y).sample(noise, 1))
    masses = []
    for level in range(model.decoder.levels):
        all_level = torch.full_like(y, level)
        if isinstance(model.decoder, Gaussian):
            log_mass = log_mass_of_pixels(model.decoder, outputs, all_level)
        else:
            log_mass = model.decoder.log_prob_of_pixels(outputs, all_level, noise)
        masses.append(log_mass.double().exp()[0].mean(-1))
    return torch.stack(masses, dim=1)


def shares_of_images(images: Tensor, levels: int) -> Tensor:
    """Return the share of each level among the pixels of each image, (n, levels)."""
    counts = torch.zeros(len(images), levels, dtype=torch.float64)
    ones = torch.ones_like(images, dtype=torch.float64)
    return counts.scatter_add_(1, images.long(), ones) / images.shape[1]


@torch.no_grad()
def unseen_levels(
    model: Model, data: TaskData, y: Tensor, seed: int, subject: Subject
) -> tuple[list[Row], list[LevelsCurve]]:
    """Return the row and the curve (mass by level) of a model trained without some levels.

    Both are empty where the task leaves out no level.
    """
    if isinstance(data.task, ArrayTask) or not data.task.left_out_levels:
        return [], []
    unseen = data.task.left_out_levels
    noise = Noise(seed, "unseen levels", device=y.device)
    shares = shares_of_images(data.test, data.task.levels)
    if isinstance(model, VAE):
        masses = masses_of_images(model, y, noise).cpu()
    else:
        drawn = model.sample(SAMPLED_IMAGES, noise).cpu()
        masses = shares_of_images(drawn, data.task.levels)
    given, share = masses[:, unseen].sum(1), shares[:, unseen].sum(1)
    ratio = (given.mean() / share.mean()).item()
    relative = sum((x.var() / (len(x) * x.mean().square())).item() for x in (given, share))
    row = unseen_levels_row(model, ratio, ratio * sqrt(relative), subject)
    curve: LevelsCurve = {
        "figure": "levels",
        **curve_subject(subject),
        "x": list(range(data.task.levels)),
        "y": masses.mean(0).tolist(),
        "share": shares.mean(0).tolist(),
        "unseen": unseen,
    }
    return [row], [curve]


def unseen_levels_row(model: Model, ratio: float, error: float, subject: Subject) -> Row:
    """Return the row of claim 8: an upper bound for a categorical decoder, a lower one for others.

    Args:
        model: The model.
        ratio: Its mass on unseen levels over their share in test images.
        error: Standard error of ``ratio``.
        subject: The run.
    """
    if isinstance(model, VAE) and isinstance(model.decoder, Categorical):
        return at_most(
            8,
            f"a categorical decoder gives unseen levels at most {ALMOST_NONE:g} of their share in "
            "test images",
            subject,
            ratio,
            ALMOST_NONE,
            stderr=error,
            unit="of their share",
        )
    return at_most(
        8,
        f"a decoder that knows neighbours gives unseen levels at least {NEARLY_ALL:g} of their "
        "share in test images (left: that bound)",
        subject,
        NEARLY_ALL,
        ratio,
        stderr=error,
        unit="of their share",
    )
