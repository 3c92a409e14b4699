"""ELBO surgery over a whole split, exactly: Hoffman & Johnson 2016."""

from math import log
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat
from torchmetrics.utilities.distributed import gather_all_tensors

from bench.densities.full_covariance import (
    FullCovarianceNormal,
    NormalDistribution,
    aggregate_of,
)
from bench.densities.mixture_table import GPU_ROW_BLOCK, ROW_BLOCK
from bench.densities.normal import DiagonalNormal
from bench.errors import InputError
from bench.estimators.estimate import Estimate, exact, mean_estimate, synchronised

ACTIVE_VARIANCE = 0.01
# The parameters of posteriors; diagonal normals do not have the last.
ENCODED = ("loc", "log_scale", "lower")


class ELBOSurgery(Metric):
    """Splits the mean KL into mutual information and marginal KL: KL(q‖p) = MI + KL(q_agg‖p).

    q_agg(z) = 1/n Σ_j q(z|x_j) runs over all n data of the split, never over a mini-batch: a
    batch of B bounds the mutual information by log B without saying so. Latents and encodings
    are kept (n·(samples + 2)·latent numbers) and gathered over ranks. Pairs are computed blockwise,
    and each rank computes a share of them.

    The ``*_aggregate`` columns are those of the prior swapped, after training, for q_agg over the
    training split.

    Args:
        training: Encodings of the training split; None if it is the split that is measured.
        options: Further options of ``torchmetrics.Metric``.

    Examples:
        >>> from bench import Noise, Terms
        >>> from bench.densities.normal import standard_normal_log_prob
        >>> q = DiagonalNormal(100.0 * torch.eye(4), torch.zeros(4, 4))  # four posteriors far apart
        >>> z = q.sample(Noise("a key"), 2)
        >>> surgery = ELBOSurgery()
        >>> surgery.update(
        ...     Terms(torch.zeros(2, 4), standard_normal_log_prob(z), q.log_prob(z), z, q)
        ... )
        >>> surgery.compute()["mutual_information"]
        tensor(1.3863, dtype=torch.float64)
        >>> surgery.estimates()["mutual_information"].n
        4
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = None
    reconstruction: list[Tensor]
    log_prior: list[Tensor]
    latent: list[Tensor]
    loc: list[Tensor]
    log_scale: list[Tensor]
    lower: list[Tensor]
    training_loc: Tensor | None
    training_log_scale: Tensor | None
    training_lower: Tensor | None

    def __init__(self, training: NormalDistribution | None = None, **options: Any):
        super().__init__(**options)
        for name in ENCODED:
            value = getattr(training, name, None)
            value = None if value is None else value.detach()
            self.register_buffer(f"training_{name}", value, persistent=False)
        for name in ("reconstruction", "log_prior", "latent", *ENCODED):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, terms: Any) -> None:
        """Add a block's terms; the states have the data in their first dimension.

        Raises:
            InputError: The terms of a model without q(z|y), or of a training step, which leaves out
                what training does not need.
        """
        for name in ("log_prior", "latent", "posterior"):
            if getattr(terms, name, None) is None:
                raise InputError(
                    f"terms: {name} is missing; the surgery needs a model with q(z|y) in "
                    "evaluation mode (model.eval())"
                )
        self.reconstruction.append(terms.reconstruction.detach().double().T)
        self.log_prior.append(terms.log_prior.detach().double().T)
        self.latent.append(terms.latent.detach().transpose(0, 1))
        self.loc.append(terms.posterior.loc.detach())
        self.log_scale.append(terms.posterior.log_scale.detach())
        if isinstance(terms.posterior, FullCovarianceNormal):
            self.lower.append(terms.posterior.lower.detach())

    def compute(self) -> dict[str, Tensor]:
        """Return the value of every column of the surgery, float64 scalars in nats."""
        return {
            name: torch.tensor(estimate.value, dtype=torch.float64, device=self.device)
            for name, estimate in self._estimates().items()
        }

    def estimates(self) -> dict[str, Estimate]:
        """Return every column of the surgery with its errors, over all ranks."""
        with synchronised(self):
            return self._estimates()

    @torch.no_grad()
    def _estimates(self) -> dict[str, Estimate]:
        if not isinstance(self.latent, Tensor) and not self.latent:
            raise InputError("surgery: no terms were added")
        reconstruction, log_prior, latent = (
            dim_zero_cat(state).transpose(0, 1)
            for state in (self.reconstruction, self.log_prior, self.latent)
        )
        own = self.encodings()
        n = latent.shape[1]
        # In float64, so that log q(z_i|x_i) − log q_agg(z_i) stays below log n to rounding.
        own_double = own.double()
        log_posterior = own_double.log_prob(latent.double())
        log_aggregate = self.log_density(own, latent)
        mutual_information = log_posterior - log_aggregate
        marginal_kl = log_aggregate - log_prior
        kl = log_posterior - log_prior
        log_swapped = log_aggregate
        if self.training_encodings is not None:
            log_swapped = self.log_density(self.training_encodings, latent)
        return {
            "elbo": mean_estimate(reconstruction - kl),
            "reconstruction": mean_estimate(reconstruction),
            "kl": mean_estimate(kl),
            "mutual_information": mean_estimate(mutual_information),
            "marginal_kl": mean_estimate(marginal_kl),
            "log_n": exact(log(n), n),
            "active_units": exact(active_units(own.loc), n),
            "elbo_aggregate": mean_estimate(reconstruction - (log_posterior - log_swapped)),
            "marginal_kl_aggregate": mean_estimate(log_aggregate - log_swapped),
        }

    def log_density(self, components: NormalDistribution, latent: Tensor) -> Tensor:
        """Return log-densities in nats of latents (samples, n, dimensions) under a uniform mixture.

        After synchronisation every rank has all states, and computes a share of the latents' blocks:
        whole blocks, because rounding depends on the content of a block, so that the result has the
        bytes of a single rank. Without synchronisation states differ between ranks, and each computes
        all of its own.
        """
        mixture = aggregate_of(components)
        if not self._is_synced:
            return mixture.log_prob(latent)
        group = self.process_group
        z = latent.flatten(0, 1)
        # Not the size of this rank's own blocks, which depends on the memory that it has.
        rows = GPU_ROW_BLOCK if z.device.type == "cuda" else ROW_BLOCK
        share = -(-len(z) // (rows * dist.get_world_size(group))) * rows
        first = dist.get_rank(group) * share
        parts = gather_all_tensors(mixture.log_prob(z[first : first + share]), group)
        return torch.cat(parts).view(latent.shape[:2])

    @property
    def training_encodings(self) -> NormalDistribution | None:
        """q(z|x_j) of the training split, if it is another one than this."""
        if self.training_loc is None or self.training_log_scale is None:
            return None
        return normals(self.training_loc, self.training_log_scale, self.training_lower)

    def encodings(self) -> NormalDistribution:
        """Return q(z|x_j) for every datum of the split."""
        # Synchronised states are tensors, and lists otherwise.
        lower = dim_zero_cat(self.lower) if len(self.lower) else None
        return normals(dim_zero_cat(self.loc), dim_zero_cat(self.log_scale), lower)


def normals(loc: Tensor, log_scale: Tensor, lower: Tensor | None) -> NormalDistribution:
    """Return diagonal normals, or those with a full covariance if there is a ``lower``."""
    if lower is None:
        return DiagonalNormal(loc, log_scale)
    return FullCovarianceNormal(loc, log_scale, lower)


def active_units(posterior_means: Tensor) -> int:
    """Return how many latent dimensions have Var_x(E_q[z]) > 0.01 (Burda et al. 2016, section 5)."""
    return int((posterior_means.double().var(0, correction=0) > ACTIVE_VARIANCE).sum())
