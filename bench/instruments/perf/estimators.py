"""Speed of the exact aggregated posterior and of the importance-weighted bound."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from bench.densities.mixture_table import COLUMN_BLOCK, ROW_BLOCK, MixtureTable
from bench.densities.normal import DiagonalNormal
from bench.estimators.evidence import importance_weighted_bound
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
from bench.instruments.perf.training import DEEP, SIDE, untrained
from bench.instruments.progress import PartProgress, split_progress
from bench.models.vae import VAE

LATENT = 40
# (draws of a standard normal, n, latent) → means and log-scales of n posteriors.
Regime = Callable[[Callable[..., Tensor], int, int], tuple[Tensor, Tensor]]
# Encoders with wide posteriors, with typical ones, and with near-points (log-variance −12).
REGIMES: dict[str, Regime] = {
    "overlapping": lambda g, n, d: (0.3 * g(n, d), 0.05 * g(n, d)),
    "typical": lambda g, n, d: (g(n, d), -1.2 + 0.3 * g(n, d)),
    "tiny variances": lambda g, n, d: (g(n, d), torch.full((n, d), -6.0)),
}
# Number of points at which the density is evaluated; the time is proportional to it.
POINTS = 4 * ROW_BLOCK
FEW_POINTS, FEW_IMAGES = 50, 10
# K of the bound whose time is reported; the time is proportional to K.
SAMPLES = 5000


def encoded(regime: str, n: int, latent: int = LATENT) -> tuple[DiagonalNormal, Tensor, Tensor]:
    """Return n posteriors, their log-weights, and a sample of each of the first POINTS."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    loc, log_scale = REGIMES[regime](draw, n, latent)
    z = loc[:POINTS] + log_scale[:POINTS].exp() * draw(min(n, POINTS), latent)
    return DiagonalNormal(loc, log_scale), torch.full((n,), -math.log(n)), z


def pair_floor(n: int, points: int) -> Work:
    """Return the least work for n · points pairs: a product of depth 2 · LATENT + 1, and exp."""
    rows, columns = torch.randn(points, 2 * LATENT + 1), torch.randn(2 * LATENT + 1, n)

    def all_pairs() -> None:
        for block in rows.split(ROW_BLOCK):
            for start in range(0, n, COLUMN_BLOCK):
                (block @ columns[:, start : start + COLUMN_BLOCK]).clamp_(-80, 0).exp_()

    return all_pairs


def broadcast(components: DiagonalNormal, weights: Tensor, z: Tensor) -> Tensor:
    """Broadcast the differences of all pairs, as the code of β-TCVAE does, 50 points at a time."""
    parts = [(components.log_prob(part[:, None]) + weights).logsumexp(1) for part in z.split(50)]
    return torch.cat(parts)


def library(components: DiagonalNormal, weights: Tensor, z: Tensor) -> Tensor:
    normals = Independent(Normal(components.loc, components.log_scale.exp()), 1)
    mixture = MixtureSameFamily(Categorical(logits=weights), normals)
    return torch.cat([mixture.log_prob(part) for part in z.split(50)])


ALTERNATIVES = {"broadcast difference": broadcast, "MixtureSameFamily": library}


def alternative_work(name: str, regime: str, n: int, points: int) -> Work:
    """Return the work of an alternative for the first points of a regime."""
    components, weights, z = encoded(regime, n)
    return lambda: ALTERNATIVES[name](components, weights, z[:points])


def aggregate_rows(sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    torch.set_num_threads(1)
    cases = [(n, regime) for n in sizes.components for regime in REGIMES]
    parts = split_progress(progress, [1] * len(cases))
    with separate_process() as time_apart:
        return [
            row
            for (n, regime), part in zip(cases, parts)
            for row in rows_of_regime(n, regime, sizes, time_apart, part)
        ]


def rows_of_regime(
    n: int, regime: str, sizes: Sizes, time_apart: Callable[..., float], progress: PartProgress
) -> list[Comparison]:
    components, weights, z = encoded(regime, n)
    table = MixtureTable(components, weights)
    exact, floor = lambda: table.log_prob(z), pair_floor(n, len(z))
    others = [Alternative("product of depth 81 and exp", lambda: seconds(floor), len(z), 1 / 1.6)]
    if n == sizes.components[0]:
        # Their time is proportional to the number of points, so a few points suffice.
        few = min(FEW_POINTS, n)
        for name in ALTERNATIVES:
            work = partial(time_apart, alternative_work, name, regime, n, few)
            others.append(Alternative(name, work, few, 100))
    ours = Timed(f"exact q_agg, n = {n}, {regime}", "ns a pair", 1e9 / n, exact, len(z))
    return compared(ours, others, sizes.repeats, progress)


def one_image_at_a_time(model: VAE, y: Tensor, samples: int) -> Tensor:
    """Return L_K in nats, (batch,), as VampPrior's code does: 500 copies of an image at a time,
    each of them encoded."""
    bounds = []
    for image in y:
        weights = []
        for some in torch.arange(samples).split(500):
            copies = image.expand(len(some), -1)
            posterior = model.posterior(copies)
            z = posterior.loc + posterior.log_scale.exp() * torch.randn_like(posterior.loc)
            p = model.decode(z)[:, 0].sigmoid().clamp(1e-5, 1 - 1e-5)
            x = copies.float()
            error = -(x * p.log() + (1 - x) * (1 - p).log()).sum(1)
            prior = -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
            weights.append(prior - error - posterior.log_prob(z))
        bounds.append(torch.cat(weights).logsumexp(0) - math.log(samples))
    return torch.stack(bounds)


@torch.no_grad()
def evidence_rows(sizes: Sizes, progress: PartProgress) -> list[Comparison]:
    torch.set_num_threads(1)
    model, samples = untrained(DEEP), sizes.samples
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (100, SIDE**2), generator=generator, dtype=torch.uint8)
    product = products(layer_sizes(model.decoder_network), 1000, backward=False)
    floor = lambda: [product() for _ in range(samples * len(y) // 1000)]
    bound = lambda: importance_weighted_bound(model, y, samples, 0)
    what = f"L_{SAMPLES}, Bernoulli VAE {DEEP.name}"
    ours = Timed(what, "ms an image", 1e3 * SAMPLES / samples, bound, len(y))
    with separate_process() as time_apart:
        one_image = lambda: time_apart(single_image_work, FEW_IMAGES, samples)
        name = "one image at a time, 500 copies encoded at once"
        others = [
            Alternative("the decoder's matrix products alone", lambda: seconds(floor), len(y), 0.7),
            Alternative(name, one_image, FEW_IMAGES, 3),
        ]
        return compared(ours, others, sizes.repeats, progress)


def single_image_work(images: int, samples: int) -> Work:
    model = untrained(DEEP)
    y = torch.randint(2, (images, SIDE**2), dtype=torch.uint8)

    @torch.no_grad()
    def bounds() -> Tensor:
        return one_image_at_a_time(model, y, samples)

    return bounds
