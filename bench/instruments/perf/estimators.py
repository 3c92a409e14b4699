"""Speed of the exact aggregated posterior and of the importance-weighted bound."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from bench.densities.mixture_table import COLUMN_BLOCK, ROW_BLOCK, MixtureTable
from bench.densities.normal import DiagonalNormal
from bench.estimators.evidence import importance_weighted_bound
from bench.instruments.perf.elsewhere import elsewhere
from bench.instruments.perf.floors import layer_sizes, products
from bench.instruments.perf.interleaved import Comparison, by_turns, compare, seconds
from bench.instruments.perf.sizes import Sizes, Tell, part_of
from bench.instruments.perf.training import NETWORKS, SIDE, untrained
from bench.models.vae import VAE

LATENT = 40
# Means and log-scales of encoders: wide, as trained, and collapsed to points (log-variance −12).
REGIMES = {
    "overlapping": lambda g, n, d: (0.3 * g(n, d), 0.05 * g(n, d)),
    "typical": lambda g, n, d: (g(n, d), -1.2 + 0.3 * g(n, d)),
    "tiny variances": lambda g, n, d: (g(n, d), torch.full((n, d), -6.0)),
}
# Points at which the density is taken; time is proportional to their number.
POINTS = 4 * ROW_BLOCK
FEW_POINTS, FEW_IMAGES = 50, 10
# Of the bound whose time is told; time is proportional to them.
SAMPLES = 5000


def encoded(regime: str, n: int, latent: int = LATENT) -> tuple[DiagonalNormal, Tensor, Tensor]:
    """Return n posteriors, their log-weights, and a sample of each of the first ones."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    loc, log_scale = REGIMES[regime](draw, n, latent)
    z = loc[:POINTS] + log_scale[:POINTS].exp() * draw(min(n, POINTS), latent)
    return DiagonalNormal(loc, log_scale), torch.full((n,), -math.log(n)), z


def pair_floor(n: int, points: int) -> Callable[[], None]:
    """Return the least work for n · points pairs: a product of depth 2 · LATENT + 1, and exp."""
    rows, columns = torch.randn(points, 2 * LATENT + 1), torch.randn(2 * LATENT + 1, n)

    def once() -> None:
        for block in rows.split(ROW_BLOCK):
            for start in range(0, n, COLUMN_BLOCK):
                (block @ columns[:, start : start + COLUMN_BLOCK]).clamp_(-80, 0).exp_()

    return once


def other_way(name: str, regime: str, n: int, points: int) -> Callable[[], Tensor]:
    """Return what another way does for the first points of a regime."""
    components, weights, z = encoded(regime, n)
    return lambda: WAYS[name](components, weights, z[:points])


def broadcast(components: DiagonalNormal, weights: Tensor, z: Tensor) -> Tensor:
    """Form every difference at once, as the code of β-TCVAE does, in blocks of 50 points."""
    parts = [(components.log_prob(part[:, None]) + weights).logsumexp(1) for part in z.split(50)]
    return torch.cat(parts)


def library(components: DiagonalNormal, weights: Tensor, z: Tensor) -> Tensor:
    normals = Independent(Normal(components.loc, components.log_scale.exp()), 1)
    mixture = MixtureSameFamily(Categorical(logits=weights), normals)
    return torch.cat([mixture.log_prob(part) for part in z.split(50)])


WAYS = {"broadcast difference": broadcast, "MixtureSameFamily": library}


def aggregate_rows(sizes: Sizes, tell: Tell) -> list[Comparison]:
    torch.set_num_threads(1)
    cases = [(n, regime) for n in sizes.components for regime in REGIMES]
    with elsewhere() as there:
        return [
            row
            for number, case in enumerate(cases)
            for row in rows_of_regime(*case, sizes, there, part_of(tell, number, len(cases)))
        ]


def rows_of_regime(
    n: int, regime: str, sizes: Sizes, there: Callable[..., float], tell: Tell
) -> list[Comparison]:
    components, weights, z = encoded(regime, n)
    table = MixtureTable(components, weights)
    what, few = f"exact q_agg, n = {n}, {regime}", min(FEW_POINTS, n)
    exact, floor = lambda: table.log_prob(z), pair_floor(n, len(z))
    # (what it is held against, its seconds, its points, the ratio that is wanted)
    others = [("product of depth 81 and exp", lambda: seconds(floor), len(z), 1 / 1.6)]
    # Their time grows with the number of points alone, so that few of them tell it.
    for name in WAYS if n == sizes.components[0] else ():
        way = lambda name=name: there(other_way, name, regime, n, few)
        others.append((name, way, few, 100))
    rows = []
    for number, (name, other, points, target) in enumerate(others):
        part = part_of(tell, number, len(others))
        ours, theirs = by_turns(exact, other, sizes.repeats, part, f"{what}: {name}")
        per_pair = lambda times, points: [1e9 * t / (n * points) for t in times]
        mine, yours = per_pair(ours, len(z)), per_pair(theirs, points)
        rows.append(compare(what, name, "ns a pair", mine, yours, target))
    return rows


def one_image_at_a_time(model: VAE, y: Tensor, samples: int) -> Tensor:
    """L_K as VampPrior's code has it: an image, 500 copies of it at once, encoded each time."""
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
def evidence_rows(sizes: Sizes, tell: Tell) -> list[Comparison]:
    torch.set_num_threads(1)
    model, samples = untrained(NETWORKS[0]), sizes.samples
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (100, SIDE**2), generator=generator, dtype=torch.uint8)
    product = products(layer_sizes(model.decoder_network), 1000, backward=False)
    floor = lambda: [product() for _ in range(samples * len(y) // 1000)]
    bound = lambda: importance_weighted_bound(model, y, samples, 0)
    what, rows = f"L_{SAMPLES}, Bernoulli VAE {NETWORKS[0][0]}", []
    with elsewhere() as there:
        one_image = lambda: there(one_by_one, FEW_IMAGES, samples)
        # (what it is held against, its seconds, its images, the ratio that is wanted)
        others = [
            ("the decoder's matrix products alone", lambda: seconds(floor), len(y), 0.7),
            ("one image at a time, 500 copies encoded at once", one_image, FEW_IMAGES, 3),
        ]
        for number, (name, other, images, target) in enumerate(others):
            part = part_of(tell, number, len(others))
            ours, theirs = by_turns(bound, other, sizes.repeats, part, f"{what}: {name}")
            per_image = lambda times, images: [1e3 * SAMPLES / samples * t / images for t in times]
            mine, yours = per_image(ours, len(y)), per_image(theirs, images)
            rows.append(compare(what, name, "ms an image", mine, yours, target))
    return rows


def one_by_one(images: int, samples: int) -> Callable[[], Tensor]:
    model = untrained(NETWORKS[0])
    y = torch.randint(2, (images, SIDE**2), dtype=torch.uint8)

    @torch.no_grad()
    def work() -> Tensor:
        return one_image_at_a_time(model, y, samples)

    return work
