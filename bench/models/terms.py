"""The protocol that every model answers: per-datum terms of the evidence lower bound, in nats."""

from dataclasses import dataclass

import torch
import torch.nn as nn
from torch import Tensor

from bench.densities.normal import DiagonalNormal
from bench.noise import Noise
from bench.settings import Bound


@dataclass(frozen=True)
class Terms:
    """The terms of log p(y, z) − log q(z|y) on samples z, each of shape (samples, batch), nats.

    A VAE fills all; in training on one sample it leaves out ``log_prior`` and ``log_posterior``
    where there is a ``kl_analytic``. A flow, whose encoder and decoder are deterministic, has no ``log_posterior``
    (its densities are Dirac's) and no ``posterior``; ``reconstruction`` is its log-determinant.
    A model with an exact log-likelihood has it in ``reconstruction`` and nothing else.

    Attributes:
        reconstruction: log p(y|z), (samples, batch), with whatever constant makes it one of the
            discrete image (−D log L after dequantization).
        log_prior: log p(z), (samples, batch).
        log_posterior: log q(z|y), (samples, batch).
        latent: z, (samples, batch, latent).
        posterior: q(z|y), of which ``latent`` are samples; it makes ELBO surgery possible.
        kl_analytic: KL(q(z|y) ‖ p(z)) in closed form, (batch,).

    Examples:
        >>> Terms(torch.tensor([[-3.0]]), torch.tensor([[-2.0]]), torch.tensor([[-1.5]])).elbo
        tensor([[-3.5000]])
    """

    reconstruction: Tensor
    log_prior: Tensor | None = None
    log_posterior: Tensor | None = None
    latent: Tensor | None = None
    posterior: DiagonalNormal | None = None
    kl_analytic: Tensor | None = None

    @classmethod
    def join(cls, draws: list["Terms"]) -> "Terms":
        """Return the terms of all samples of ``draws``, which are of the same data."""

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

    def log_weights(self, beta: float) -> Tensor:
        """Return log p(y|z) + β (log p(z) − log q(z|y)), shape (samples, batch)."""
        if self.log_posterior is None or self.log_prior is None:
            return self.elbo
        return self.reconstruction + beta * (self.log_prior - self.log_posterior)

    @property
    def elbo(self) -> Tensor:
        """One-sample estimates of the ELBO; also the log importance weights of L_K.

        With the analytic KL where the sampled one was left out.
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

    # Names for the leaderboard's columns; empty where the model has no such part.
    decoder_name = ""
    prior_name = ""
    bound: Bound = "upper"

    def __init__(self, shape: tuple[int, ...], levels: int):
        super().__init__()
        self.shape, self.levels = tuple(shape), levels

    def attach(self, training_images: Tensor) -> None:
        """Take note of the training split, uint8 of shape (n, D), before training or evaluation."""

    def terms(
        self, y: Tensor, noise: Noise, samples: int = 1, index: Tensor | None = None
    ) -> Terms:
        """Return the terms for y (batch, D) on ``samples`` fresh samples.

        ``index`` names the data in the training split; it is given in training only.
        """
        raise NotImplementedError

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of q(z|y): what an E-step moves. Empty where q is no network."""
        return []

    def objective(self, terms: Terms, beta: float) -> Tensor:
        """Return what training maximizes, per sample and datum: reconstruction − β·KL.

        The analytic KL where there is one. A model with a loss of its own overrides this.
        """
        kl = terms.kl_analytic
        if kl is None:
            if terms.log_posterior is None or terms.log_prior is None:
                return terms.elbo
            kl = terms.log_posterior - terms.log_prior
        return terms.reconstruction - (beta * kl if beta != 1 else kl)

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draw n images, floats in {0, …, levels − 1} of shape (n, D)."""
        raise NotImplementedError

    def sample_mean(self, n: int, noise: Noise) -> Tensor:
        """Draw n images as they are shown: E[y|z] for drawn z where a model has z, else draws."""
        return self.sample(n, noise)
