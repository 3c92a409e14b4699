"""Mini-batch estimators of log q_agg(z), here only to be compared with the exact value.

Chen et al. 2018 (Isolating sources of disentanglement in VAEs, appendix C). For a batch of B data
out of n with one sample each; the mutual information that follows from either is too high in
expectation, because the logarithm of an underestimate, or of an unbiased estimate, is too low.
"""

from math import log

import torch
from torch import Tensor

from bench.densities.normal import DiagonalNormal


def weighted_log_aggregate(z: Tensor, posterior: DiagonalNormal, n: int) -> Tensor:
    """Return log 1/(n·B) Σ_j q(z_i|x_j) in nats (Chen et al. 2018, eq. S4), shape (B,).

    Args:
        z: One sample z_i ~ q(z|x_i) for each datum of the batch, (B, latent).
        posterior: q(z|x_j) of the batch.
        n: Number of data in the split.
    """
    return pairs(z, posterior).logsumexp(1) - log(n * len(z))


def stratified_log_aggregate(z: Tensor, posterior: DiagonalNormal, n: int) -> Tensor:
    """Return the stratified estimate (Chen et al. 2018, eq. S6), whose exp is unbiased, (B,).

    A datum's own component has weight 1/n, the other M = B − 1 have 1/M each but for one, which
    has (n − M)/(n M): together 1. Other codes put one of these weights into a column in place of
    the diagonal, or leave it out.
    """
    batch = len(z)
    others = batch - 1
    log_weights = torch.full((batch, batch), -log(others), dtype=z.dtype, device=z.device)
    index = torch.arange(batch, device=z.device)
    log_weights[index, index] = -log(n)
    log_weights[index, (index + 1) % batch] = log((n - others) / (n * others))
    return (pairs(z, posterior) + log_weights).logsumexp(1)


def pairs(z: Tensor, posterior: DiagonalNormal) -> Tensor:
    """Return log q(z_i|x_j) in nats, (B, B)."""
    return posterior.log_prob(z[:, None])
