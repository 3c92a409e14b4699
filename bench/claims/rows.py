"""A row of claims.csv, and the tolerances that decide whether it holds, fixed beforehand."""

from dataclasses import dataclass
from math import isfinite
from typing import TypedDict

# An identity on paper holds up to rounding: sums over pixels in float32 keep six or seven digits,
# of which accumulation over a split costs one or two.
IDENTITY = 1e-4
# The same in float64, over thousands of iterations.
EXACT = 1e-9
# EM converges linearly; after its iterations it is within this of its fixed point.
FIXED_POINT = 1e-6
# An inequality in expectation is judged on noise: four standard errors raise one false alarm in
# thirty thousand rows, three would raise one in every few tables.
STANDARD_ERRORS = 4.0


@dataclass(frozen=True)
class Subject:
    """The run that a row's numbers are of; ``seed`` is None where they are over several runs."""

    task: str
    model: str
    seed: int | None = None
    key: str | None = None


class PlainRow(TypedDict):
    """A row as plain data: its subject's columns, and the difference left − right."""

    claim: int
    statement: str
    task: str
    model: str
    seed: int | None
    key: str | None
    left: float
    right: float
    difference: float
    stderr: float | None
    tolerance: float
    holds: bool
    unit: str


@dataclass(frozen=True)
class Row:
    """One measurement of a claim.

    Attributes:
        claim: Number of the claim, 1 to 14.
        statement: The relation of ``left`` and ``right``, in words.
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

    def plain(self) -> PlainRow:
        return {
            "claim": self.claim,
            "statement": self.statement,
            "task": self.subject.task,
            "model": self.subject.model,
            "seed": self.subject.seed,
            "key": self.subject.key,
            "left": self.left,
            "right": self.right,
            "difference": self.left - self.right,
            "stderr": self.stderr,
            "tolerance": self.tolerance,
            "holds": self.holds,
            "unit": self.unit,
        }


# More than six parameters: these are the columns of a row, and each caller names its own.
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


# More than six parameters, as above.
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
