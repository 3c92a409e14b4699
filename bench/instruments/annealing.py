"""Annealed importance sampling, an independent check of the importance-weighted bound."""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.estimators.weights import weighted_bound
from bench.noise import Noise

LEAPFROG_STEPS = 8
TARGET_ACCEPTANCE = 0.65
LogDensity = Callable[[Tensor], Tensor]


def annealed_importance_sampling(
    log_initial: LogDensity,
    log_joint: LogDensity,
    initial_samples: Tensor,
    temperatures: int,
    *noise_key: int | str,
) -> tuple[Tensor, Tensor]:
    """Estimate log ∫ exp(log_joint(z)) dz (Neal 2001; Wu et al. 2017 for decoders).

    Chains start at samples of a normalized density and move through
    f_β ∝ initial^{1−β} · joint^β by Hamiltonian Monte-Carlo. exp of the result is unbiased, so the
    result is a lower bound in expectation. Unlike L_K it does not need q to cover the posterior. A
    first pass with other noise tunes the step sizes, which then stay fixed: adapting them along the
    weighted chains would bias the weights.

    Args:
        log_initial: log-density in nats of z (chains, batch, latent), shape (chains, batch).
        log_joint: log p(y, z), likewise; it must be deterministic.
        initial_samples: Samples of the initial density, (chains, batch, latent). The first half
            tunes the step sizes, the second half is weighted.
        temperatures: Number of steps in β.
        noise_key: Determines the noise.

    Returns:
        One estimate in nats for each datum (batch,), and its Monte-Carlo variance (batch,).
    """
    tuning, start = initial_samples.chunk(2)
    # A sigmoid schedule is denser at both ends, where the densities change fastest.
    curve = torch.linspace(-4, 4, temperatures + 1, dtype=torch.float64).sigmoid()
    betas = (curve - curve[0]) / (curve[-1] - curve[0])
    path = Path(log_initial, log_joint, betas.tolist())
    sizes = path.run(tuning, None, Noise(*noise_key, "tuning", device=start.device))[1]
    log_weights, _ = path.run(start, sizes, Noise(*noise_key, "chains", device=start.device))
    estimate = weighted_bound(log_weights)
    return estimate.value, estimate.variance


class Path:
    """The densities f_β between ``log_initial`` and ``log_joint``."""

    def __init__(self, log_initial: LogDensity, log_joint: LogDensity, betas: list[float]) -> None:
        self.log_initial, self.log_joint, self.betas = log_initial, log_joint, betas

    def run(
        self, z: Tensor, sizes: list[Tensor] | None, noise: Noise
    ) -> tuple[Tensor, list[Tensor]]:
        """Move chains z from β = 0 to 1; return log-weights (chains, batch) and the step sizes.

        ``sizes`` are the step sizes; None adapts each datum's step size to the acceptance rate.
        """
        log_weights = torch.zeros(z.shape[:2], dtype=torch.float64, device=z.device)
        size = torch.full((z.shape[1],), 0.1, dtype=z.dtype, device=z.device)
        used = []
        for step, (previous, beta) in enumerate(zip(self.betas, self.betas[1:])):
            with torch.no_grad():
                difference = self.log_joint(z) - self.log_initial(z)
            log_weights += (beta - previous) * difference.double()
            size = size if sizes is None else sizes[step]
            used.append(size)
            z, accepted = self._hamiltonian_step(z, beta, size, noise)
            if sizes is None:
                factor = torch.where(accepted > TARGET_ACCEPTANCE, 1.05, 0.93)
                size = (size * factor).clamp(1e-4, 2.0)
        return log_weights, used

    def _log_density(self, z: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = (1 - beta) * self.log_initial(z) + beta * self.log_joint(z)
            gradient = torch.autograd.grad(value.sum(), z)[0]
        return value.detach(), gradient

    def _hamiltonian_step(
        self, z: Tensor, beta: float, size: Tensor, noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """Return moved chains and the share accepted for each datum (batch,)."""
        epsilon = size[:, None]
        momentum = noise.normal(*z.shape).to(z.dtype)
        value, gradient = self._log_density(z, beta)
        energy = value - 0.5 * momentum.square().sum(-1)
        moved = z
        for _ in range(LEAPFROG_STEPS):
            momentum = momentum + 0.5 * epsilon * gradient
            moved = moved + epsilon * momentum
            moved_value, gradient = self._log_density(moved, beta)
            momentum = momentum + 0.5 * epsilon * gradient
        log_ratio = moved_value - 0.5 * momentum.square().sum(-1) - energy
        accepted = noise.uniform(*log_ratio.shape).to(log_ratio).log() < log_ratio
        return torch.where(accepted[..., None], moved, z), accepted.double().mean(0)
