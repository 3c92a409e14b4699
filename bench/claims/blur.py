"""Claim 12, from records alone: does the mismatch of prior and aggregated posterior cause blur?"""

import numpy as np
from scipy.stats import rankdata

from bench.claims.across_runs import estimate_of, value_of
from bench.claims.rows import Row, Subject, at_most, equal
from bench.records.types import Record

# Largest difference at which the sharpness of decoded q_agg samples and of reconstructions, both
# relative to data's, counts as equal.
SAME_SHARPNESS = 0.05
KINDS = ("sharpness", "sharpness_aggregate", "sharpness_reconstruction")
LEAST_RUNS = 8
BOOTSTRAPS = 1000


def blur_records(records: list[Record]) -> dict[str, list[Record]]:
    """Return the runs with all three kinds of sharpness, by task, where there are LEAST_RUNS."""
    tasks: dict[str, list[Record]] = {}
    for record in records:
        if all(estimate_of(record, kind) is not None for kind in KINDS):
            tasks.setdefault(record["task"], []).append(record)
    return {task: own for task, own in tasks.items() if len(own) >= LEAST_RUNS}


def correlation(records: list[Record]) -> tuple[float, float, float, float]:
    """Return Spearman's ρ of marginal KL and sharpness of prior samples, and its bootstrap error.

    The bootstrap resamples models, each with all its seeds, because seeds of one model are alike.

    Returns:
        ρ, its bootstrap standard error, and the 2.5 % and 97.5 % quantiles of the bootstrap.
    """
    groups: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        pair = value_of(record, "marginal_kl"), value_of(record, "sharpness")
        groups.setdefault(record["model"], []).append(pair)
    members = list(groups.values())
    generator = np.random.default_rng(0)
    draws = generator.integers(0, len(members), (BOOTSTRAPS, len(members)))
    values = [spearman([members[i] for i in draw]) for draw in draws if len(set(draw)) > 1]
    low, high = np.quantile(values, [0.025, 0.975])
    return spearman(members), float(np.std(values)), float(low), float(high)


def spearman(groups: list[list[tuple[float, float]]]) -> float:
    """Return Spearman's ρ of all pairs: the correlation of their ranks."""
    pairs = np.array([pair for group in groups for pair in group])
    return float(np.corrcoef(rankdata(pairs, axis=0).T)[0, 1])


def blur_rows(records: list[Record]) -> list[Row]:
    """Claim 12, for each seed and over all."""
    rows: list[Row] = []
    for task, own in blur_records(records).items():
        seeds = sorted({record["seed"] for record in own})
        for seed in [None, *(seeds if len(seeds) > 1 else [])]:
            chosen = [r for r in own if seed is None or r["seed"] == seed]
            if len(chosen) >= LEAST_RUNS:
                rows += blur_rows_of(chosen, Subject(task, f"{len(chosen)} VAEs", seed))
    return rows


def blur_rows_of(records: list[Record], subject: Subject) -> list[Row]:
    rho, error, _, high = correlation(records)
    of_prior, of_aggregate, of_reconstruction = (
        float(np.mean([value_of(record, kind) for record in records])) for kind in KINDS
    )
    return [
        at_most(
            12,
            "the larger the marginal KL, the less sharp the prior's samples: Spearman's ρ (left) is "
            "below 0 by more than its interval's upper half",
            subject,
            rho,
            0.0,
            tolerance=rho - high,
            stderr=error,
            unit="ρ",
        ),
        equal(
            12,
            "free of mismatch, samples are as sharp as reconstructions: sharpness of q_agg samples "
            "(left) and of reconstructions",
            subject,
            of_aggregate,
            of_reconstruction,
            tolerance=SAME_SHARPNESS,
            unit="of data's",
        ),
        at_most(
            12,
            "the decoder's blur (left: 1 − sharpness of reconstructions) is at most what mismatch "
            "costs (sharpness of q_agg samples − of prior samples)",
            subject,
            1 - of_reconstruction,
            of_aggregate - of_prior,
            unit="of data's",
        ),
    ]
