"""Claim 13 over seeds, from measured gaps alone: richer posteriors against the diagonal normal."""

import numpy as np

from bench.claims.curves import GapsCurve
from bench.claims.over_seeds import over_seeds
from bench.claims.rows import Row, Subject, at_most

DIAGONAL = "NormalPosterior"
# (number, whether less is better, statement).
COMPARED = (
    ("approximation_gap", True, "leaves a smaller approximation gap (left) than a diagonal normal"),
    ("elbo", False, "has a larger ELBO than one with a diagonal normal (left)"),
    ("log_likelihood", False, "has a larger log-likelihood than one with a diagonal normal (left)"),
)


def by_posterior(curves: list[GapsCurve]) -> dict[str, dict[str, dict[int | None, GapsCurve]]]:
    """Return {task: {posterior: {seed: gaps}}}."""
    tasks: dict[str, dict[str, dict[int | None, GapsCurve]]] = {}
    for curve in curves:
        seeds = tasks.setdefault(curve["task"], {}).setdefault(curve["posterior"], {})
        seeds[curve["seed"]] = curve
    return tasks


def richer_rows(curves: list[GapsCurve]) -> list[Row]:
    """Claim 13 across runs, for each posterior that has two seeds or more in common with the diagonal."""
    rows = []
    for task, posteriors in by_posterior(curves).items():
        diagonal = posteriors.get(DIAGONAL, {})
        for name, own in posteriors.items():
            seeds = [seed for seed in own if seed in diagonal]
            if name != DIAGONAL and len(seeds) > 1:
                pairs = [(diagonal[seed], own[seed]) for seed in seeds]
                rows += rows_of_pairs(Subject(task, name), pairs)
    return rows


def rows_of_pairs(subject: Subject, pairs: list[tuple[GapsCurve, GapsCurve]]) -> list[Row]:
    """Return the rows of one posterior, given (diagonal, richer) of each seed.

    A difference counts if its paired 95 % interval over seeds (Student t) lies on the right side of 0.
    """
    rows = []
    for name, less_is_better, words in COMPARED:
        values = np.array([[part["values"][name] for part in pair] for pair in pairs])
        _, error, half = over_seeds((values[:, 1] - values[:, 0]).tolist())
        diagonal, richer = (float(mean) for mean in values.mean(0))
        left, right = (richer, diagonal) if less_is_better else (diagonal, richer)
        statement = (
            f"a VAE trained with this posterior {words}, by more than the interval over seeds"
        )
        rows.append(at_most(13, statement, subject, left, right, tolerance=-half, stderr=error))
    return rows


def richer_sentences(curves: list[GapsCurve]) -> str:
    """Return sentences with the mean gaps of each posterior."""
    sentences = []
    for task, posteriors in by_posterior(curves).items():
        for name, own in posteriors.items():
            mean = {
                column: float(np.mean([curve["values"][column] for curve in own.values()]))
                for column in next(iter(own.values()))["values"]
            }
            text = (
                f"On {task}, with {name}, {len(own)} seeds: log-likelihood "
                f"{mean['log_likelihood']:.2f}, ELBO {mean['elbo']:.2f}, approximation gap "
                f"{mean['approximation_gap']:.2f}, amortization gap {mean['amortization_gap']:.2f}"
            )
            if "closed_by_full_covariance" in mean:
                closed = mean["closed_by_full_covariance"]
                text += f"; a full covariance for each image closes {closed:.2f} of the first gap"
            sentences.append(text + ".")
    return " ".join(sentences)
