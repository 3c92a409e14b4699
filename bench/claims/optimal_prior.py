"""Claim 11: the ELBO of a trained VAE once the aggregated posterior replaces its prior."""

from copy import deepcopy
from math import log
from typing import cast

import torch
from torch import Tensor

from bench.claims.across_runs import value_of
from bench.claims.curves import ExemplarsCurve, SampleGrids, curve_subject
from bench.claims.evidence import error_of
from bench.claims.rows import STANDARD_ERRORS, Row, Subject, at_most, equal, rounding
from bench.data.tasks import TaskData
from bench.densities.normal import NormalMixture
from bench.densities.priors import Aggregate, aggregated_posterior
from bench.estimators.estimate import mean_estimate
from bench.estimators.evaluate import terms_of_block
from bench.models.terms import Terms
from bench.models.vae import VAE
from bench.noise import EVALUATION_BLOCK, Noise
from bench.records.types import Record
from bench.runs.pictures import SHOWN_IMAGES, png

EXEMPLARS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000)


def swapped(model: VAE, training_images: Tensor) -> VAE:
    """Return a copy of the model with q_agg over the training split as its prior."""
    other = deepcopy(model)
    other.prior = Aggregate(model.latent_dimensions, training_images.shape[1], 2).to(
        training_images.device
    )
    other.attach(training_images)
    return other.eval()


@torch.no_grad()
def mean_elbo(model: VAE, images: Tensor, samples: int, key: tuple[int | str, ...]) -> float:
    """Return the mean ELBO over ``images`` in nats, with the noise of evaluation under ``key``."""
    total = torch.zeros((), dtype=torch.float64, device=images.device)
    for number, y in enumerate(images.split(EVALUATION_BLOCK)):
        total += terms_of_block(model, y, samples, *key, number).elbo.double().mean(0).sum()
    return total.item() / len(images)


def swap_rows(
    model: VAE, data: TaskData, record: Record, seed: int, device: str, subject: Subject
) -> list[Row]:
    """Return the ELBO on train after the swap against the recorded ELBO plus marginal KL."""
    training = data.train.to(device)
    samples = record["config"]["evaluation"]["elbo_samples"]
    before = value_of(record, "elbo", "train")
    after = mean_elbo(swapped(model, training), training, samples, (seed, "train"))
    expected = before + value_of(record, "marginal_kl", "train")
    return [
        equal(
            11,
            "with q_agg as the prior the ELBO on train rises by the marginal KL",
            subject,
            after,
            expected,
            tolerance=rounding(expected),
        ),
        at_most(
            11,
            "on train no gain is larger than this one: the old prior's ELBO ≤ the new one's",
            subject,
            before,
            after,
            tolerance=rounding(expected),
        ),
    ]


def exemplar_curves(
    model: VAE, data: TaskData, images: int, seed: int, device: str, subject: Subject
) -> tuple[list[Row], list[ExemplarsCurve]]:
    """Return what q_agg of m training images gains over the model's prior, for growing m.

    On ``images`` test images, and on training images: with their own posterior among the m, and
    without it (leave-one-out), as for an image that q_agg does not include.

    Returns:
        The row of claim 11 on test images, and a curve (nats per image) for each kind of images.
    """
    n = len(data.train)
    sizes = [m for m in EXEMPLARS if m < n] + [n]
    gains = exemplar_gains(model, data, sizes, images, seed, device)
    curves: list[ExemplarsCurve] = []
    for name, values in gains.items():
        estimates = [mean_estimate(of_size) for of_size in values]
        # With all n exemplars, leave-one-out has n − 1.
        curves.append(
            {
                "figure": "exemplars",
                **curve_subject(subject),
                "split": name,
                "x": sizes,
                "y": [estimate.value for estimate in estimates],
                "error": [estimate.stderr_data for estimate in estimates],
            }
        )
    gain = mean_estimate(gains["test"][-1])
    error = error_of(gain)
    row = at_most(
        11,
        "on test images too the swap raises the ELBO: 0 ≤ its gain",
        subject,
        0.0,
        gain.value,
        tolerance=STANDARD_ERRORS * error,
        stderr=error,
    )
    return [row], curves


@torch.no_grad()
def exemplar_gains(
    model: VAE, data: TaskData, sizes: list[int], images: int, seed: int, device: str
) -> dict[str, Tensor]:
    """Return log q_agg of m exemplars − log p(z), {kind of images: (sizes, samples, images)}, nats."""
    training = data.train.to(device)
    aggregate = aggregated_posterior(model.posterior, training)
    order = Noise(seed, "exemplars").shared_permutation(len(training)).to(device)
    gains: dict[str, list[Tensor]] = {"test": [], "train": [], "train, leave-one-out": []}
    for split in ("test", "train"):
        y = data.split(split)[:images].to(device)
        for number, block in enumerate(y.split(EVALUATION_BLOCK)):
            terms = terms_of_block(model, block, 2, seed, split, number)
            own = torch.arange(len(block), device=device) + number * EVALUATION_BLOCK
            for name, values in block_gains(
                aggregate, terms, order, sizes, own if split == "train" else None
            ).items():
                gains[split + name].append(values)
    return {name: torch.cat(parts, dim=-1) for name, parts in gains.items()}


def block_gains(
    aggregate: NormalMixture,
    terms: Terms,
    order: Tensor,
    sizes: list[int],
    own: Tensor | None,
) -> dict[str, Tensor]:
    """Return log q_agg of m exemplars − log p(z) of one block, {variant: (sizes, samples, batch)}.

    Args:
        aggregate: q_agg over the whole training split.
        terms: The block's terms under the model's own prior.
        order: A permutation of the training split; its first m are the exemplars.
        sizes: The numbers m.
        own: Each datum's position in the training split; None if the data are not in it.
    """
    # Optional in Terms, but every VAE has both in evaluation.
    latent, log_prior = cast(Tensor, terms.latent), cast(Tensor, terms.log_prior).double()
    gains: dict[str, list[Tensor]] = {"": []}
    if own is not None:
        gains[", leave-one-out"] = []
    for z, prior in zip(latent, log_prior):
        pairs = aggregate.table.log_pairs(z) + log(len(order))
        if own is None:
            gains[""].append(growing(pairs[:, order], sizes) - prior)
            continue
        mine = pairs.gather(1, own[:, None])
        others = pairs.scatter(1, own[:, None], -torch.inf)
        # Without the datum's own place in the order, the first m are m others.
        place = (order[None, :] == own[:, None]).int()
        kept = torch.argsort(place, dim=1, stable=True)[:, :-1]
        ranked = others[:, order].gather(1, kept)
        alone = growing(ranked, [min(m, ranked.shape[1]) for m in sizes])
        gains[", leave-one-out"].append(alone - prior)
        with_own = torch.cat([mine, ranked], dim=1)
        gains[""].append(growing(with_own, sizes) - prior)
    return {name: torch.stack(parts, dim=1) for name, parts in gains.items()}


def growing(pairs: Tensor, sizes: list[int]) -> Tensor:
    """Return log 1/m Σ_{j<m} exp(pairs_ij) for each m, (sizes, batch), for pairs (batch, n)."""
    return torch.stack([pairs[:, :m].logsumexp(1) - log(m) for m in sizes])


@torch.no_grad()
def sample_grids(
    model: VAE, data: TaskData, seed: int, device: str, subject: Subject
) -> SampleGrids:
    """Return grids of test images, their reconstructions, and samples from q_agg and the prior."""
    y = data.test[:SHOWN_IMAGES].to(device)
    noise = lambda name: Noise(seed, "shown", name, device=device)
    aggregate = aggregated_posterior(model.posterior, data.train.to(device))
    images = {
        "data": y.float(),
        "reconstructions": model.reconstruct(y),
        "samples from q_agg": model.decode_mean(aggregate.sample(SHOWN_IMAGES, noise("q_agg"))),
        "samples from the prior": model.sample_mean(SHOWN_IMAGES, noise("prior")),
    }
    return {
        "figure": "samples",
        **curve_subject(subject),
        "images": {name: png(grid.cpu(), data) for name, grid in images.items()},
    }
