"""Mini-batch estimators of log q_agg(z), which `bench calibrate` compares with the exact value.

Chen et al. 2018 (Isolating sources of disentanglement in VAEs, appendix C), for a batch of B of n
data with one sample each. Both overestimate the mutual information in expectation, because the
logarithm of an underestimate, or of an unbiased estimate, is too low.
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

    A datum's own component has weight 1/n. Of the other M = B − 1 components, one has weight
    (n − M)/(n M) and each of the rest 1/M; the weights sum to 1. Other implementations put one of
    these weights into a column instead of the diagonal, or omit it.
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
