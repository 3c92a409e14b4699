"""A row of claims.csv, and the tolerances that decide whether it holds, fixed beforehand."""

from dataclasses import asdict, dataclass
from math import isfinite

# What is an identity on paper may differ by rounding: sums over pixels in float32 keep six or
# seven digits, of which accumulation over a split costs one or two.
IDENTITY = 1e-4
# The same in float64, over thousands of iterations.
EXACT = 1e-9
# EM creeps up to its fixed point; it is stopped where that is this near.
FIXED_POINT = 1e-6
# An inequality in expectation is judged on noise: four standard errors raise one false alarm in
# thirty thousand rows, three would raise one in every few tables.
STANDARD_ERRORS = 4.0


@dataclass(frozen=True)
class Subject:
    """Whose numbers a row holds; ``seed`` is None where it takes several together."""

    task: str
    model: str
    seed: int | None = None
    key: str | None = None


@dataclass(frozen=True)
class Row:
    """One measurement of a claim.

    Attributes:
        claim: Number of the claim, 1 to 12.
        statement: What is said of ``left`` and ``right``, in words.
        subject: Task, model, seed and run.
        left: Left side.
        right: Right side.
        stderr: Monte-Carlo standard error of left − right; None where there is no noise.
        tolerance: By how much left − right may miss the statement, in their unit.
        holds: Whether the statement holds within the tolerance.
        unit: Unit of both sides.
    """

    claim: int
    statement: str
    subject: Subject
    left: float
    right: float
    stderr: float | None
    tolerance: float
    holds: bool
    unit: str = "nats"

    def plain(self) -> dict:
        """Return the row as plain data, with the difference left − right."""
        content = asdict(self)
        subject = content.pop("subject")
        return {**content, **subject, "difference": self.left - self.right}


def equal(
    claim: int,
    statement: str,
    subject: Subject,
    left: float,
    right: float,
    tolerance: float,
    stderr: float | None = None,
    unit: str = "nats",
) -> Row:
    """Return a row that holds if |left − right| ≤ tolerance."""
    holds = isfinite(left - right) and abs(left - right) <= tolerance
    return Row(claim, statement, subject, left, right, stderr, tolerance, holds, unit)


def at_most(
    claim: int,
    statement: str,
    subject: Subject,
    left: float,
    right: float,
    tolerance: float = 0.0,
    stderr: float | None = None,
    unit: str = "nats",
) -> Row:
    """Return a row that holds if left ≤ right + tolerance."""
    holds = isfinite(left - right) and left - right <= tolerance
    return Row(claim, statement, subject, left, right, stderr, tolerance, holds, unit)


def rounding(size: float, share: float = IDENTITY) -> float:
    """Return the tolerance of an identity between numbers of about ``size``."""
    return share * max(abs(size), 1.0)
