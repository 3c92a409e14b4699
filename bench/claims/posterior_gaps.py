"""Claim 13 on one trained VAE: what the family of its posterior leaves of the inference gap."""

from torch import Tensor

from bench.claims.curves import GapsCurve, curve_subject
from bench.claims.rows import STANDARD_ERRORS, Row, Subject, at_most
from bench.estimators.estimate import Estimate
from bench.inspection.gaps import GapSettings, InferenceGaps, inference_gaps
from bench.models.vae import VAE

# Least share of the diagonal normal's approximation gap that a full covariance closes.
CLOSED_SHARE = 0.5


def posterior_gaps(
    model: VAE, y: Tensor, seed: int, subject: Subject
) -> tuple[list[Row], GapsCurve]:
    """Return the rows of claim 13 for one run, and its gaps for the rows over seeds."""
    gaps = inference_gaps(model, y, GapSettings(), (seed, "gaps"))
    numbers = {
        "approximation_gap": gaps.approximation_gap,
        "amortization_gap": gaps.amortization_gap,
        "elbo": gaps.elbo,
        "log_likelihood": gaps.log_likelihood,
    }
    curve: GapsCurve = {
        "figure": "gaps",
        **curve_subject(subject),
        "posterior": gaps.posterior,
        "values": {name: estimate.value for name, estimate in numbers.items()},
        "errors": {name: error_known(estimate) for name, estimate in numbers.items()},
    }
    if gaps.closed_by_full_covariance is not None:
        curve["values"]["closed_by_full_covariance"] = gaps.closed_by_full_covariance.value
    return gap_rows(gaps, subject), curve


def error_known(estimate: Estimate) -> float:
    """Return the Monte-Carlo error of an estimate, or the larger error over images if it is not known."""
    error = estimate.stderr if estimate.stderr is not None else estimate.stderr_data
    if error is None:
        raise ValueError("one image has no standard error")
    return error


def gap_rows(gaps: InferenceGaps, subject: Subject) -> list[Row]:
    """Claim 13 for a diagonal normal: its gap is not zero, and a full covariance closes half of it."""
    closed = gaps.closed_by_full_covariance
    if closed is None:
        return []
    gap = gaps.approximation_gap
    error = error_known(gap)
    of_closed = error_known(closed)
    return [
        at_most(
            13,
            "the best diagonal normal of each image leaves a gap: four of its standard errors (left) "
            "≤ log p(y) − its ELBO",
            subject,
            STANDARD_ERRORS * error,
            gap.value,
            stderr=error,
        ),
        at_most(
            13,
            "the best normal with a full covariance of each image closes half of that gap or more: "
            "half of the gap (left) ≤ the gain of the ELBO",
            subject,
            CLOSED_SHARE * gap.value,
            closed.value,
            tolerance=STANDARD_ERRORS * (CLOSED_SHARE * error + of_closed),
            stderr=CLOSED_SHARE * error + of_closed,
        ),
    ]
