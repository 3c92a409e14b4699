"""The interface of models: per-datum terms of the evidence lower bound, in nats."""

from dataclasses import dataclass

import torch
import torch.nn as nn
from torch import Tensor

from bench.densities.full_covariance import NormalDistribution
from bench.noise import Noise
from bench.settings import Bound


@dataclass(frozen=True)
class Terms:
    """The terms of log p(y, z) − log q(z|y) on samples z, each of shape (samples, batch), nats.

    A VAE has all of them, but in training on one sample neither ``log_prior`` nor ``log_posterior``
    if it has a ``kl_analytic``. A flow has a deterministic encoder and decoder, so it has neither
    ``log_posterior`` nor ``posterior``, and its ``reconstruction`` is the log-determinant. A model
    with an exact log-likelihood has it as ``reconstruction``, and no other term.

    Attributes:
        reconstruction: log p(y|z) of the discrete image, (samples, batch); after dequantization it
            contains −D log L.
        log_prior: log p(z), (samples, batch).
        log_posterior: log q(z|y), (samples, batch).
        latent: z, (samples, batch, latent).
        posterior: q(z|y), the distribution of ``latent``, if it is normal; ELBO surgery needs it.
        kl_analytic: KL(q(z|y) ‖ p(z)) in closed form, (batch,).

    Examples:
        >>> Terms(torch.tensor([[-3.0]]), torch.tensor([[-2.0]]), torch.tensor([[-1.5]])).elbo
        tensor([[-3.5000]])
    """

    reconstruction: Tensor
    log_prior: Tensor | None = None
    log_posterior: Tensor | None = None
    latent: Tensor | None = None
    posterior: NormalDistribution | None = None
    kl_analytic: Tensor | None = None

    @classmethod
    def join(cls, draws: list["Terms"]) -> "Terms":
        """Return the terms of all samples of ``draws``, which belong to the same data."""

        def joined(name: str) -> Tensor | None:
            parts = [getattr(draw, name) for draw in draws]
            return None if parts[0] is None else torch.cat(parts)

        return cls(
            reconstruction=torch.cat([draw.reconstruction for draw in draws]),
            log_prior=joined("log_prior"),
            log_posterior=joined("log_posterior"),
            latent=joined("latent"),
            posterior=draws[0].posterior,
            kl_analytic=draws[0].kl_analytic,
        )

    def log_weights(self, beta: float | Tensor) -> Tensor:
        """Return log p(y|z) + β (log p(z) − log q(z|y)), shape (samples, batch)."""
        if self.log_posterior is None or self.log_prior is None:
            return self.elbo
        return self.reconstruction + beta * (self.log_prior - self.log_posterior)

    @property
    def elbo(self) -> Tensor:
        """One-sample estimates of the ELBO, which are the log importance weights of L_K too.

        If the sampled KL is missing, they have the analytic one.
        """
        total = self.reconstruction
        if self.log_prior is None and self.kl_analytic is not None:
            return total - self.kl_analytic
        if self.log_prior is not None:
            total = total + self.log_prior
        if self.log_posterior is not None:
            total = total - self.log_posterior
        return total


class Model(nn.Module):
    """A likelihood-based model of integer images y (batch, D)."""

    # Names of decoder and prior in the leaderboard; empty if the model has none.
    decoder_name = ""
    prior_name = ""
    bound: Bound = "upper"

    def __init__(self, shape: tuple[int, ...], levels: int):
        super().__init__()
        self.shape, self.levels = tuple(shape), levels

    def attach(self, training_images: Tensor) -> None:
        """Take what is needed from the training split, uint8 (n, D), before training or evaluation."""

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> Terms:
        """Return the terms for y (batch, D) on ``samples`` fresh samples.

        ``index`` holds the data's positions in the training split; it is None except in training.
        """
        raise NotImplementedError

    @property
    def draws_at_once(self) -> int:
        """How many draws of ten samples ``terms`` gets at once for L_K on a CPU."""
        return 1

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of q(z|y), which an E-step trains; none if q is not a network."""
        return []

    def objective(self, terms: Terms, beta: float | Tensor) -> Tensor:
        """Return what training maximizes, per sample and datum: reconstruction − β·KL.

        The KL is the analytic one if there is one. A model with its own loss overrides this method.
        """
        kl = terms.kl_analytic
        if kl is None:
            if terms.log_posterior is None or terms.log_prior is None:
                return terms.elbo
            kl = terms.log_posterior - terms.log_prior
        return terms.reconstruction - beta * kl

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draw n images, floats in {0, …, levels − 1} of shape (n, D)."""
        raise NotImplementedError

    def sample_mean(self, n: int, noise: Noise) -> Tensor:
        """Return n images for pictures: E[y|z] of drawn z, or draws of y if the model has no z."""
        return self.sample(n, noise)
