"""How often `bench verify` lets an honest repetition pass, all columns of both splits at once.

Nothing here is drawn from the prior that the tolerances assume. The seeds are published ones, or normal
with the standard deviations of published rows, and the scales of the prior are fitted to the other
sweeps (``leave one sweep out``); or the spreads are lognormal, with the dispersion that published rows
have.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np

from bench.instruments.seed_spreads import SeedRow, fitted_scales, seed_rows
from bench.settings import Split
from bench.sweep.tolerances import (
    ROUNDING,
    USUAL,
    Comparison,
    allowed,
    comparison_of,
    most_of_diagnostic,
    variance_of,
)

# {(split, column): values of the row under test, of the new run, and of the row's other seeds}.
Draws = Mapping[tuple[Split, str], Sequence[float]]
Scales = Mapping[str, float]
REPEATS = 2000
# log σ of published rows has this mean, in USUAL spreads of the log-likelihood, and this standard
# deviation, after that of the logarithm of a variance of three seeds is taken off.
LOG_SPREAD, LOG_DISPERSION = 0.15, 0.96
# As many columns as a VAE has on both splits beside the headline.
COLUMNS = 37


@dataclass(frozen=True)
class Repetitions:
    """Honest repetitions of one kind.

    Attributes:
        setting: Which kind.
        differences: Published less new headline, in nats or in usual spreads.
        passed: Whether each repetition passes.
        is_simulated: The seeds are drawn, so that the share that passes has an error.
    """

    setting: str
    differences: list[float]
    passed: list[bool]
    is_simulated: bool


def passes(draws: Draws, units: Mapping[tuple[Split, str], float], scales: Scales) -> bool:
    """Tell whether all columns of a repetition lie within their tolerances.

    Args:
        draws: The values; their Monte-Carlo error is a part of their spread.
        units: The unit of each spread.
        scales: The usual spread of each column in its unit.
    """
    for (split, column), (published, new, *others) in draws.items():
        limit = most_of_diagnostic(column, new)
        if limit is None:
            usual = scales.get(column, USUAL[column]) * units[split, column]
            limit = allowed(usual, 0.0, new, others, comparison_of(split, column, len(draws)))
        # Numbers that do not depend on the seed may differ by rounding.
        if abs(published - new) > limit + ROUNDING * max(1.0, abs(new)):
            return False
    return True


def scales_without(rows: Sequence[SeedRow], sweep: str) -> Scales:
    """Return the scales fitted to all rows of other sweeps."""
    return fitted_scales([row for row in rows if row.sweep != sweep])


def of_real_seeds(rows: Sequence[SeedRow], sweep: str, published: int) -> Repetitions:
    """Hold each published seed of a sweep against each other seed of its row, as if that were new.

    Args:
        rows: The rows of all sweeps.
        sweep: The sweep whose seeds are used; the scales are those of the others.
        published: Number of published seeds, 1 or 2. With 2 a third seed is the other published one.
    """
    scales = scales_without(rows, sweep)
    found = Repetitions(
        f"{sweep}: its seeds, each as a new run of each other, {published} published", [], [], False
    )
    for row in rows:
        if row.sweep != sweep:
            continue
        for order in permutations(range(row.seeds), published + 1):
            draws = {name: [values[seed] for seed in order] for name, values in row.values.items()}
            found.passed.append(passes(draws, row.units, scales))
            found.differences.append(difference(draws))
    return found


def of_normal_seeds(
    rows: Sequence[SeedRow], sweep: str, published: int, repeats: int
) -> Repetitions:
    """Draw seeds with the means and standard deviations of a sweep's rows; see ``of_real_seeds``."""
    rng = np.random.default_rng([published, len(sweep)])
    scales = scales_without(rows, sweep)
    found = Repetitions(
        f"{sweep}: normal seeds with its spreads, {published} published", [], [], True
    )
    own = [row for row in rows if row.sweep == sweep]
    for number in range(repeats):
        row = own[number % len(own)]
        draws = {}
        for (split, column), values in row.values.items():
            noise = rng.standard_normal(published + 1)
            spread = variance_of(values) ** 0.5
            draws[split, column] = [sum(values) / len(values) + spread * each for each in noise]
        for split in ("train", "test"):
            # One number in two units.
            nats, bits = draws[split, "log_likelihood"], draws[split, "bits_per_dim"]
            factor = row.units[split, "bits_per_dim"] / row.units[split, "log_likelihood"]
            bits[:] = [-factor * each for each in nats]
        found.passed.append(passes(draws, row.units, scales))
        found.differences.append(difference(draws))
    return found


def of_lognormal_spreads(published: int, repeats: int, changed_by: float = 0.0) -> Repetitions:
    """Draw a spread for each column, and seeds with that spread, in usual spreads.

    Args:
        published: Number of published seeds.
        repeats: Number of repetitions.
        changed_by: What is added to the published headline, in usual spreads.
    """
    rng = np.random.default_rng([published, 7])
    found = Repetitions(f"lognormal spreads, {published} published", [], [], True)
    for _ in range(repeats):
        spreads = np.exp(LOG_SPREAD + LOG_DISPERSION * rng.standard_normal(COLUMNS + 1))
        seeds = spreads[:, None] * rng.standard_normal((COLUMNS + 1, published + 1))
        seeds[0, 0] += changed_by
        found.passed.append(
            all(
                abs(row - new) <= allowed(1.0, 0.0, new, others, Comparison(number == 0, COLUMNS))
                for number, (row, new, *others) in enumerate(seeds.tolist())
            )
        )
        found.differences.append(float(seeds[0, 0] - seeds[0, 1]))
    return found


def difference(draws: Draws) -> float:
    published, new, *_ = draws["test", "log_likelihood"]
    return published - new


def repetitions(results: Path) -> Iterator[Callable[[], Repetitions]]:
    """Yield functions that repeat: for each published sweep with several seeds, and lognormal ones."""
    rows = seed_rows(results)
    for sweep in dict.fromkeys(row.sweep for row in rows):
        for published in (1, 2):
            yield partial(of_real_seeds, rows, sweep, published)
        for published in (1, 2, 3):
            yield partial(of_normal_seeds, rows, sweep, published, REPEATS)
    for published in (1, 2, 3):
        yield partial(of_lognormal_spreads, published, REPEATS)
