"""Estimates with their errors: value, standard error, number of data and of samples."""

from contextlib import AbstractContextManager
from math import sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from bench.errors import InputError


class Estimate(NamedTuple):
    """A mean over a split.

    Attributes:
        value: The mean.
        stderr: Its Monte-Carlo standard error for the given split: the spread over repetitions with
            other noise. None with a single sample, which has no spread.
        n: Number of data.
        samples: Number of Monte-Carlo samples per datum.
        stderr_data: Standard error of the mean as an estimate for the population that the split
            was drawn from; contains the Monte-Carlo error.
        stderr_untrusted: The Monte-Carlo standard error as it was computed, where it cannot be trusted
            and ``stderr`` is therefore None.

    Examples:
        >>> elbo = Estimate(value=-20.0, stderr=0.1, n=300, samples=2)
        >>> elbo.scaled(-0.5)  # other units, with their error
        Estimate(value=10.0, stderr=0.05, n=300, samples=2, stderr_data=None, stderr_untrusted=None)
    """

    value: float
    stderr: float | None
    n: int
    samples: int
    stderr_data: float | None = None
    stderr_untrusted: float | None = None

    def scaled(self, factor: float) -> "Estimate":
        """Return the estimate in other units, such as bits/dim for nats."""
        errors = (self.stderr, self.stderr_data, self.stderr_untrusted)
        stderr, *others = (None if error is None else error * abs(factor) for error in errors)
        return Estimate(self.value * factor, stderr, self.n, self.samples, *others)


def exact(value: float, n: int) -> Estimate:
    """Return an estimate without Monte-Carlo error."""
    return Estimate(float(value), 0.0, n, 0)


class MeanEstimate(Metric):
    """The mean over data of per-datum Monte-Carlo estimates, accumulated in float64.

    ``compute`` returns the mean alone, a tensor that Lightning can log; ``estimate`` returns it with
    its errors.

    Args:
        sync_on_compute: Take the data of all ranks together, not this rank's alone.
        options: Further options of ``torchmetrics.Metric``.

    Examples:
        >>> metric = MeanEstimate()
        >>> metric.update(torch.tensor([[1.0, 3.0], [1.0, 5.0]]))  # two samples of two data
        >>> metric.compute()
        tensor(2.5000, dtype=torch.float64)
        >>> metric.estimate().stderr
        0.5
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = None
    n: Tensor
    samples: Tensor
    total: Tensor
    square_total: Tensor
    variance_total: Tensor

    def __init__(self, sync_on_compute: bool = True, **options: Any) -> None:
        super().__init__(sync_on_compute=sync_on_compute, **options)
        zero = torch.zeros((), dtype=torch.float64)
        for name in ("n", "total", "square_total", "variance_total"):
            self.add_state(name, default=zero.clone(), dist_reduce_fx="sum")
        self.add_state("samples", default=torch.zeros((), dtype=torch.int64), dist_reduce_fx="max")

    def update(
        self, values: Tensor, variances: Tensor | None = None, samples: int | None = None
    ) -> None:
        """Add data.

        Args:
            values: Samples of shape (samples, batch), whose spread within a datum gives the
                Monte-Carlo error; or, with ``variances``, one estimate for each datum (batch,).
            variances: Monte-Carlo variance of each datum's estimate (batch,).
            samples: Number of samples behind each of those estimates; 0 where they are exact.
        """
        values = values.detach().double()
        if values.ndim != (2 if variances is None else 1):
            raise InputError(
                f"estimate: values of shape {tuple(values.shape)}; (samples, batch) is needed, or "
                "(batch,) with variances"
            )
        if variances is None:
            samples = len(values)
            spread = values.var(0) if len(values) > 1 else torch.full_like(values[0], torch.nan)
            values, variances = values.mean(0), spread / len(values)
        # Not in place: Metric's states may be shared with their defaults across processes.
        self.n = self.n + len(values)
        self.samples = self.samples.clamp(min=samples or 0)
        self.total = self.total + values.sum()
        self.square_total = self.square_total + values.square().sum()
        self.variance_total = self.variance_total + variances.double().sum()

    def compute(self) -> Tensor:
        """Return the mean, a float64 scalar."""
        return self.total / self.n

    def estimate(self) -> Estimate:
        """Return the mean with its errors, over all ranks where ``compute`` takes them together."""
        with synchronised(self):
            n = int(self.n.item())
            if not n:
                raise InputError("estimate: no data were added")
            mean = self.total.item() / n
            monte_carlo = self.variance_total.item()
            spread = max(self.square_total.item() / n - mean**2, 0.0)
            return Estimate(
                value=mean,
                stderr=sqrt(monte_carlo) / n if monte_carlo == monte_carlo else None,
                n=n,
                samples=int(self.samples.item()),
                stderr_data=sqrt(spread / (n - 1)) if n > 1 else None,
            )


def synchronised(metric: Metric) -> AbstractContextManager[None]:
    """Return a context in which a metric has the synchronised states that ``compute`` uses."""
    return metric.sync_context(
        dist_sync_fn=metric.dist_sync_fn,
        should_sync=metric._to_sync,
        should_unsync=metric._should_unsync,
    )


def mean_estimate(values: Tensor) -> Estimate:
    """Return the estimate of the mean of ``values`` (samples, n), without synchronising ranks."""
    metric = MeanEstimate(sync_on_compute=False)
    metric.update(values)
    return metric.estimate()
