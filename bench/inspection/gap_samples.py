"""What is measured of each datum for the gaps of a VAE."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.estimators.diagnostics import joined
from bench.estimators.weights import WeightedBound


@dataclass(frozen=True)
class GapSamples:
    """What is measured of each datum, in nats.

    Attributes:
        elbo: ELBO of the encoder's q, (samples, n).
        elbo_best: ELBO of q* on the same noise, (samples, n).
        elbo_full: ELBO of the best normal with a full covariance, (samples, n); None unless q is a
            diagonal normal.
        dequantization: log p(y|z) − log p(y + u|z), on the samples of ``elbo``, (samples, n); None if the
            likelihood is one of integers.
        bound: L_K with draws from the best distribution that was found, of n data.
        bound_encoder: L_K with draws from the encoder's q.
        converged: Whether the optimizations of a datum's block ended by their criterion, (n,).
    """

    elbo: Tensor
    elbo_best: Tensor
    elbo_full: Tensor | None
    dequantization: Tensor | None
    bound: WeightedBound
    bound_encoder: WeightedBound
    converged: Tensor

    def of_data(self, chosen: slice) -> "GapSamples":
        """Return what was measured of some of the data."""
        full, dequantization = self.elbo_full, self.dequantization
        return GapSamples(
            elbo=self.elbo[:, chosen],
            elbo_best=self.elbo_best[:, chosen],
            elbo_full=None if full is None else full[:, chosen],
            dequantization=None if dequantization is None else dequantization[:, chosen],
            bound=WeightedBound(*(values[chosen] for values in self.bound)),
            bound_encoder=WeightedBound(*(values[chosen] for values in self.bound_encoder)),
            converged=self.converged[chosen],
        )


def joined_samples(parts: list[GapSamples]) -> GapSamples:
    """Return the samples of all data of several blocks."""

    def of_data(name: str) -> Tensor | None:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else torch.cat(values, dim=-1)

    return GapSamples(
        elbo=torch.cat([part.elbo for part in parts], dim=1),
        elbo_best=torch.cat([part.elbo_best for part in parts], dim=1),
        elbo_full=of_data("elbo_full"),
        dequantization=of_data("dequantization"),
        bound=joined([part.bound for part in parts]),
        bound_encoder=joined([part.bound_encoder for part in parts]),
        converged=torch.cat([part.converged for part in parts]),
    )
