"""What a density over images is given, and the log-derivative of that preprocessing."""

from dataclasses import dataclass
from math import isfinite, log
from typing import Literal

from torch import Tensor

from bench.densities.flows import LogitPreprocessing
from bench.errors import InputError

KINDS = "discrete, dequantized, dequantized:LOW:HIGH or logit:ALPHA"


@dataclass(frozen=True)
class GivenImages:
    """What ``log_prob`` takes.

    Attributes:
        kind: discrete: the integers y, of which it is a log-mass. dequantized: (y + u) / L, moved
            to [low, high). logit: the logit of α + (1 − 2α) (y + u) / L.
        low: Where the interval of dequantized images starts.
        high: Where it ends.
        alpha: α of the logits.
    """

    kind: Literal["discrete", "dequantized", "logit"]
    low: float = 0.0
    high: float = 1.0
    alpha: float = 0.05

    @classmethod
    def parse(cls, text: object) -> "GivenImages":
        """Return what a text says.

        Raises:
            InputError: It says nothing that is known.

        Examples:
            >>> GivenImages.parse("dequantized:0:256").high
            256.0
        """
        kind, *numbers = str(text).split(":")
        try:
            values = [float(number) for number in numbers]
        except ValueError:
            values = []
        if (
            not isinstance(text, str)
            or len(values) < len(numbers)
            or not all(map(isfinite, values))
        ):
            raise unknown(text)
        if kind == "discrete" and not values:
            return cls("discrete")
        if kind == "dequantized" and len(values) in (0, 2):
            low, high = values or (0.0, 1.0)
            if low >= high:
                raise InputError(f"images: {text}: {low:g} is not below {high:g}")
            return cls("dequantized", low=low, high=high)
        if kind == "logit" and len(values) == 1:
            LogitPreprocessing(values[0])
            return cls("logit", alpha=values[0])
        raise unknown(text)

    def of(self, x: Tensor) -> tuple[Tensor, Tensor | float]:
        """Return what ``log_prob`` takes for x in [0, 1), (…, D), and the log-derivative by x, nats."""
        if self.kind == "logit":
            return LogitPreprocessing(self.alpha)(x)
        width = self.high - self.low
        return self.low + width * x, x.shape[-1] * log(width)

    def counted(self, dimensions: int, levels: int) -> tuple[str, ...]:
        """Return what is added to ``log_prob``, a line each."""
        if self.kind == "discrete":
            return ("log_prob of the integers y, as a log-mass; nothing is added",)
        constant = (
            f"− D log L = −{dimensions} · log {levels} = {-dimensions * log(levels):.2f} nats"
        )
        if self.kind == "logit":
            formula = f"logit({self.alpha:g} + {1 - 2 * self.alpha:g} x), x = (y + u) / {levels}"
            return (f"log_prob of {formula}", "+ the log-derivative of these logits", constant)
        if (self.low, self.high) == (0.0, 1.0):
            return (f"log_prob of x = (y + u) / {levels} in [0, 1)", constant)
        width = self.high - self.low
        return (
            f"log_prob of x = (y + u) / {levels}, moved to [{self.low:g}, {self.high:g})",
            f"+ D log {width:g} = {dimensions * log(width):.2f} nats, its log-derivative",
            constant,
        )


def unknown(text: object) -> InputError:
    return InputError(f"images: {text!r} is none of {KINDS}")
