"""What a check of somebody's model found."""

from dataclasses import dataclass
from typing import Literal

from bench.errors import InputError

Outcome = Literal["passed", "warning", "not done"]


@dataclass(frozen=True)
class Finding:
    """The outcome of a check. What contradicts itself is an ``InputError`` and has no finding.

    Attributes:
        check: What was checked.
        outcome: passed; warning: suspicious, and not impossible; not done: ``says`` has the reason.
        says: What was seen, in one line.
    """

    check: str
    outcome: Outcome
    says: str


class Contradiction(InputError):
    """A model contradicts itself.

    Args:
        check: What was checked.
        seen: What was seen.
        reasons: What would explain it, each of the usual mistakes that do.
        unknown: What is said if none of them does.
        is_certain: Whether it contradicts itself whatever the reason; else the reason must hold for
            other weights too.
    """

    def __init__(
        self, check: str, seen: str, reasons: list[str], unknown: str, is_certain: bool = True
    ):
        self.check, self.seen, self.reasons, self.unknown = check, seen, reasons, unknown
        self.is_certain = is_certain
        super().__init__(f"{check}: {seen}: {reasons[0] if reasons else unknown}")

    def confirmed_by(self, other: "Contradiction") -> "Contradiction":
        """Return it with the reasons that hold for the other too, which has other weights."""
        both = [reason for reason in self.reasons if reason in other.reasons]
        return Contradiction(self.check, self.seen, both, self.unknown, self.is_certain)

    def as_warning(self) -> Finding:
        """Return what is said where it is not certain."""
        return Finding(self.check, "warning", f"{self.seen}: {self.unknown}")
