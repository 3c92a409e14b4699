"""Parts `q_agg` and `bound`: the exact aggregated posterior, and L_K of a whole test split."""

import math
import time
from functools import partial

import torch
from torch import Tensor

from bench.configuration.models import build_model
from bench.data.tasks import load_task, task_of
from bench.densities.mixture_table import COLUMN_BLOCK, MixtureTable
from bench.densities.normal import DiagonalNormal
from bench.estimators.evidence import importance_weighted_bound
from bench.instruments.perf.estimators import LATENT, REGIMES
from bench.noise import EVALUATION_BLOCK
from tests.gpu.lines import Check
from tests.gpu.recipes import mnist_recipes

# Points at which a direct sum in float64 is computed.
CHECKED = 25


def q_agg(check: Check) -> None:
    """Time and check log q_agg at all of n = 60,000 points in 40 dimensions."""
    n = 2000 if check.dry else 60_000
    for regime in REGIMES:
        with check.caught("q_agg", regime=regime):
            draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
            components = DiagonalNormal(*REGIMES[regime](draw, n, LATENT))
            z = components.loc + components.scale * draw(n, LATENT)
            direct = direct_log_prob(components, z[:CHECKED])
            for columns in (COLUMN_BLOCK, 8 * COLUMN_BLOCK):
                check.say("q_agg", regime=regime, **measured(check, components, z, direct, columns))


def direct_log_prob(components: DiagonalNormal, z: Tensor) -> Tensor:
    """Return log q_agg of points z in nats, on the CPU in float64, from all differences themselves."""
    loc, log_scale = components.loc.double(), components.log_scale.double()
    standardized = (z.double()[:, None] - loc) * (-log_scale).exp()
    pairs = -0.5 * (standardized.square() + math.log(2 * math.pi)).sum(2) - log_scale.sum(1)
    return pairs.logsumexp(1) - math.log(len(loc))


def measured(
    check: Check, components: DiagonalNormal, z: Tensor, direct: Tensor, columns: int
) -> dict[str, float | None]:
    """Return what log q_agg at all points takes in blocks of ``columns``, and its largest error."""
    n, place = len(z), check.device
    moved = DiagonalNormal(components.loc.to(place), components.log_scale.to(place))
    points = z.to(place)
    check.forget_peak()
    table = MixtureTable(moved, torch.full((n,), -math.log(n), device=place))
    found = table.log_prob(points, columns)
    seconds = check.seconds_of(lambda: table.log_prob(points, columns), repeats=1)
    return {
        "n": n,
        "dimensions": LATENT,
        "columns": columns,
        "seconds": seconds,
        "ns_a_pair": 1e9 * seconds / n**2,
        "error_nats": (found[:CHECKED].cpu() - direct).abs().max().item(),
        "peak_mib": check.peak_mib(),
    }


def bound(check: Check) -> None:
    """Time L_5000 of 10,000 images for the gated VAE, and what fits of it for other models."""
    for name in ("gated_vae", "gated_vamp_vae", "iwae_paper_vae", "gated_aggregate_vae"):
        with check.caught("bound", model=name):
            measure_bound(check, name)


@torch.no_grad()
def measure_bound(check: Check, name: str) -> None:
    config = mnist_recipes(check.dry)[f"mnist-dynamic {name}"]
    data = load_task(task_of(config))
    model = build_model(config, data.shape, data.task.levels).to(check.device).eval()
    model.attach(data.train.to(check.device))
    samples = 20 if check.dry else config["evaluation"]["importance_samples"]
    blocks = data.test.to(check.device).split(EVALUATION_BLOCK)
    # The whole split for the first model; of the others, a tenth says as much.
    blocks = blocks if name == "gated_vae" and not check.dry else blocks[: -(-len(blocks) // 10)]
    importance_weighted_bound(model, blocks[0], samples, 1, "warm")
    check.forget_peak()
    check.wait()
    begun = time.perf_counter()
    for number, y in enumerate(blocks):
        value, _ = importance_weighted_bound(model, y, samples, 1, "importance", number)
    check.wait()
    seconds, images = time.perf_counter() - begun, sum(map(len, blocks))
    check.say(
        "bound",
        model=name,
        samples=samples,
        images=images,
        seconds=seconds,
        ms_an_image=1e3 * seconds / images,
        peak_mib=check.peak_mib(),
        finite=bool(value.isfinite().all()),
    )
