"""Three exercises on VAEs. Replace each `raise` by your code; `pytest` in this folder tests it."""

import math

import torch
from torch import Tensor


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Exercise 1. Return KL(q(z|x) ‖ p(z)) in nats, (batch,), for q(z|x) = N(mean, exp(log_variance)).

    Args:
        mean: (batch, latent).
        log_variance: (batch, latent).
    """
    raise NotImplementedError


def importance_weighted_bound(
    log_likelihood: Tensor, log_prior: Tensor, log_posterior: Tensor
) -> Tensor:
    """Exercise 2. Return the bound L_K of log p(x) in nats, (batch,).

    Args:
        log_likelihood: log p(x|z_k) of K samples z_k ~ q(z|x), (K, batch).
        log_prior: log p(z_k), (K, batch).
        log_posterior: log q(z_k|x), (K, batch).
    """
    raise NotImplementedError


def surgery(mean: Tensor, log_variance: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Exercise 3. Return estimates of mutual information and marginal KL in nats, two numbers.

    The prior is the standard normal; q_agg(z) is the mean of all q(z|x_i).

    Args:
        mean: (n, latent), of all n data.
        log_variance: (n, latent).
        z: Samples (K, n, latent): z[:, i] is drawn from q(z|x_i).
    """
    raise NotImplementedError
