"""Claim 11: the aggregated posterior put in the place of a trained VAE's prior."""

from copy import deepcopy
from math import log

import torch
from torch import Tensor

from bench.claims.rows import STANDARD_ERRORS, Row, Subject, at_most, equal, rounding
from bench.data.tasks import TaskData
from bench.densities.normal import NormalMixture
from bench.densities.priors import Aggregate, aggregated_posterior
from bench.estimators.estimate import mean_estimate
from bench.estimators.evaluate import terms_of_block
from bench.models.terms import Terms
from bench.models.vae import VAE
from bench.noise import EVALUATION_BLOCK, Noise
from bench.runs.pictures import SHOWN_IMAGES, png

EXEMPLARS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000)


def swapped(model: VAE, training_images: Tensor) -> VAE:
    """Return the model with q_agg over the training split as its prior, all else shared."""
    other = deepcopy(model)
    other.prior = Aggregate(model.latent_dimensions, training_images.shape[1], 2).to(
        training_images.device
    )
    other.attach(training_images)
    return other.eval()


@torch.no_grad()
def mean_elbo(model: VAE, images: Tensor, samples: int, key: tuple) -> float:
    """Return the mean ELBO over all of ``images``, with the noise that evaluation has."""
    total = torch.zeros((), dtype=torch.float64, device=images.device)
    for number, y in enumerate(images.split(EVALUATION_BLOCK)):
        total += terms_of_block(model, y, samples, *key, number).elbo.double().mean(0).sum()
    return total.item() / len(images)


def swap_rows(
    model: VAE, data: TaskData, record: dict, seed: int, device: str, subject: Subject
) -> list[Row]:
    """Return the ELBO on train after the swap against the recorded ELBO plus marginal KL."""
    training = data.train.to(device)
    samples = record["config"]["evaluation"]["elbo_samples"]
    value = lambda name: record["metrics"]["train"][name]["value"]
    risen = mean_elbo(swapped(model, training), training, samples, (seed, "train"))
    promised = value("elbo") + value("marginal_kl")
    return [
        equal(
            11,
            "with q_agg as the prior the ELBO on train rises by the marginal KL",
            subject,
            risen,
            promised,
            tolerance=rounding(promised),
        ),
        at_most(
            11,
            "on train no gain is larger than this one: the old prior's ELBO ≤ the new one's",
            subject,
            value("elbo"),
            risen,
            tolerance=rounding(promised),
        ),
    ]


@torch.no_grad()
def exemplar_curves(
    model: VAE, data: TaskData, images: int, seed: int, device: str, subject: Subject
) -> tuple[list[Row], list[dict]]:
    """Return what q_agg of m training images gains over the model's prior, for growing m.

    On test images; and on training images with their own posterior among the m, and without it
    (leave-one-out), which is what q_agg means for an image that it has not seen.
    """
    training = data.train.to(device)
    aggregate = aggregated_posterior(model.posterior, training)
    n = len(training)
    order = Noise(seed, "exemplars").shared_permutation(n).to(device)
    sizes = [m for m in EXEMPLARS if m < n] + [n]
    gains: dict[str, list] = {"test": [], "train": [], "train, leave-one-out": []}
    for split in ("test", "train"):
        y = data.split(split)[:images].to(device)
        for number, block in enumerate(y.split(EVALUATION_BLOCK)):
            terms = terms_of_block(model, block, 2, seed, split, number)
            own = torch.arange(len(block), device=device) + number * EVALUATION_BLOCK
            for name, values in block_gains(
                aggregate, terms, order, sizes, own if split == "train" else None
            ).items():
                gains[split + name].append(values)
    curves = []
    for name, parts in gains.items():
        joined = torch.cat(parts, dim=-1)
        estimates = [mean_estimate(values) for values in joined]
        # Leave-one-out of all n has n − 1.
        curves.append(
            {
                "figure": "exemplars",
                "task": subject.task,
                "model": subject.model,
                "seed": subject.seed,
                "split": name,
                "x": sizes,
                "y": [estimate.value for estimate in estimates],
                "error": [estimate.stderr_data for estimate in estimates],
            }
        )
    gain = mean_estimate(torch.cat(gains["test"], dim=-1)[-1])
    row = at_most(
        11,
        "on test images too the swap raises the ELBO: 0 ≤ its gain",
        subject,
        0.0,
        gain.value,
        tolerance=STANDARD_ERRORS * gain.stderr,
        stderr=gain.stderr,
    )
    return [row], curves


def block_gains(
    aggregate: NormalMixture,
    terms: Terms,
    order: Tensor,
    sizes: list[int],
    own: Tensor | None,
) -> dict[str, Tensor]:
    """Return log q_agg of m exemplars − log p, {variant: (sizes, samples, batch)}, for a block.

    Args:
        aggregate: q_agg over the whole training split.
        terms: The block's terms under the model's own prior.
        order: A permutation of the training split; the first m are the exemplars.
        sizes: The numbers m.
        own: Each datum's position in the training split; None if it is not part of it.
    """
    log_prior = terms.log_prior.double()
    gains: dict[str, list[Tensor]] = {"": []} | ({", leave-one-out": []} if own is not None else {})
    for z, prior in zip(terms.latent, log_prior):
        pairs = aggregate.table.log_pairs(z) + log(len(order))
        if own is None:
            gains[""].append(growing(pairs[:, order], sizes) - prior)
            continue
        mine = pairs.gather(1, own[:, None])
        others = pairs.scatter(1, own[:, None], -torch.inf)
        # The datum's own place in the order is dropped, so that m others are m others.
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
def shown_samples(model: VAE, data: TaskData, seed: int, device: str, subject: Subject) -> dict:
    """Return images to look at, as PNG grids: data, reconstructions, samples of q_agg and prior."""
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
        "task": subject.task,
        "model": subject.model,
        "seed": subject.seed,
        "images": {name: png(grid.cpu(), data) for name, grid in images.items()},
    }
