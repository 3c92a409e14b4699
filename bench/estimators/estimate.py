"""An estimate carries its error: value, standard error, number of data and of samples."""

from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric


class Estimate(NamedTuple):
    """A mean over a split.

    Attributes:
        value: The mean.
        stderr: Its Monte-Carlo standard error, the split being given: what repeating the
            estimate with other noise would change. None where one sample cannot tell.
        n: Number of data.
        samples: Number of Monte-Carlo samples per datum.
        stderr_data: Standard error of the mean as an estimate for the population that the split
            was drawn from; contains the Monte-Carlo error.

    Examples:
        >>> elbo = Estimate(value=-20.0, stderr=0.1, n=300, samples=2)
        >>> elbo.scaled(-0.5)  # other units, with their error
        Estimate(value=10.0, stderr=0.05, n=300, samples=2, stderr_data=None)
    """

    value: float
    stderr: float | None
    n: int
    samples: int
    stderr_data: float | None = None

    def scaled(self, factor: float) -> "Estimate":
        """Return the estimate in other units, such as bits/dim for nats."""
        size = abs(factor)
        stderr = None if self.stderr is None else self.stderr * size
        stderr_data = None if self.stderr_data is None else self.stderr_data * size
        return Estimate(self.value * factor, stderr, self.n, self.samples, stderr_data)


def exact(value: float, n: int) -> Estimate:
    """Return an estimate without Monte-Carlo error."""
    return Estimate(float(value), 0.0, n, 0)


class MeanEstimate(Metric):
    """The mean over data of per-datum Monte-Carlo estimates, accumulated in float64.

    Args:
        sync_on_compute: Take the data of all ranks together, not this rank's alone.
    """

    full_state_update = False
    n: Tensor
    total: Tensor
    square_total: Tensor
    variance_total: Tensor

    def __init__(self, sync_on_compute: bool = True) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        zero = torch.zeros((), dtype=torch.float64)
        for name in ("n", "total", "square_total", "variance_total"):
            self.add_state(name, default=zero.clone(), dist_reduce_fx="sum")
        self.samples = 0

    def update(self, values: Tensor, variances: Tensor | None = None) -> None:
        """Add data.

        Args:
            values: Samples of shape (samples, batch), whose spread within a datum tells the
                Monte-Carlo error; or, with ``variances``, one estimate for each datum (batch,).
            variances: Monte-Carlo variance of each datum's estimate (batch,).
        """
        values = values.detach().double()
        if variances is None:
            self.samples = len(values)
            spread = values.var(0) if len(values) > 1 else torch.full_like(values[0], torch.nan)
            values, variances = values.mean(0), spread / len(values)
        # Not in place: Metric's states may be shared with their defaults across processes.
        self.n = self.n + len(values)
        self.total = self.total + values.sum()
        self.square_total = self.square_total + values.square().sum()
        self.variance_total = self.variance_total + variances.double().sum()

    def compute(self) -> Estimate:
        n = int(self.n.item())
        mean = self.total.item() / n
        monte_carlo = self.variance_total.item()
        spread = max(self.square_total.item() / n - mean**2, 0.0)
        return Estimate(
            value=mean,
            stderr=sqrt(monte_carlo) / n if monte_carlo == monte_carlo else None,
            n=n,
            samples=self.samples,
            stderr_data=sqrt(spread / (n - 1)) if n > 1 else None,
        )


def mean_estimate(values: Tensor) -> Estimate:
    """Return the estimate of the mean of ``values`` (samples, n), of no other rank's."""
    metric = MeanEstimate(sync_on_compute=False)
    metric.update(values)
    return metric.compute()
