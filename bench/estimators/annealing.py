"""Annealed importance sampling: log ∫ exp(log_joint(z)) dz from below, and from above in reverse.

Chains move by Hamiltonian Monte-Carlo through the densities f_β ∝ initial^{1−β} · joint^β. Their
weights bound the log-integral from below if they start at the initial density and β rises (Neal
2001), and from above if they start at exact samples of the joint and β falls (Grosse, Ghahramani &
Adams 2015, section 3). The step sizes must be fixed before: adapting them along the weighted chains
would bias the weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bench.estimators.weights import WeightedBound, weighted_bound
from bench.noise import Noise

LEAPFROG_STEPS = 8
TARGET_ACCEPTANCE = 0.65
LogDensity = Callable[[Tensor], Tensor]
# z (chains, batch, latent) → log-density in nats (chains, batch), and its gradient (chains, batch, latent).
ValueAndGradient = Callable[[Tensor], tuple[Tensor, Tensor]]


class Ends(NamedTuple):
    """Both ends of a path at z (chains, batch, latent).

    Attributes:
        initial, final: log f_0 and log f_1 in nats, (chains, batch).
        initial_gradient, final_gradient: Their gradients, (chains, batch, latent).
    """

    initial: Tensor
    final: Tensor
    initial_gradient: Tensor
    final_gradient: Tensor

    def at(self, beta: float) -> tuple[Tensor, Tensor]:
        """Return log f_β, unnormalized, and its gradient."""
        value = (1 - beta) * self.initial + beta * self.final
        return value, (1 - beta) * self.initial_gradient + beta * self.final_gradient


class State(NamedTuple):
    """Chains z (chains, batch, latent), and the ends of their path there."""

    z: Tensor
    ends: Ends

    @property
    def difference(self) -> Tensor:
        """log f_1 − log f_0 in nats, float64 (chains, batch)."""
        return self.ends.final.double() - self.ends.initial.double()


# (number of the step in β, log-weights (chains, batch) so far, the chains after the step).
Observer = Callable[[int, Tensor, State], None]


@dataclass(frozen=True)
class Path:
    """The densities f_β between two ends, and how chains move under them.

    Attributes:
        ends: Gives both ends at z.
        betas: β_0 = 0 … β_T, ascending. The last may be above 1.
        leapfrog_steps: Steps of a trajectory.
        scale: Maps β to the lengths in which steps are measured, broadcastable to (batch, latent).
            They may depend on the data and on β, and not on z.
    """

    ends: Callable[[Tensor], Ends]
    betas: Sequence[float]
    leapfrog_steps: int = LEAPFROG_STEPS
    scale: Callable[[float], Tensor | float] = lambda beta: 1.0

    def state(self, z: Tensor) -> State:
        return State(z, self.ends(z))

    def move(self, state: State, beta: float, size: Tensor, noise: Noise) -> tuple[State, Tensor]:
        """Return chains after a Hamiltonian step that keeps f_β, and the share accepted (batch,).

        ``size`` has shape (batch,), or (1,) for a step size that all data share.
        """
        step = size[:, None] * self.scale(beta)
        momentum = noise.normal(*state.z.shape).to(state.z.dtype)
        value, gradient = state.ends.at(beta)
        energy = value - 0.5 * momentum.square().sum(-1)
        z = state.z
        for _ in range(self.leapfrog_steps):
            momentum = momentum + 0.5 * step * gradient
            z = z + step * momentum
            ends = self.ends(z)
            value, gradient = ends.at(beta)
            momentum = momentum + 0.5 * step * gradient
        log_ratio = value - 0.5 * momentum.square().sum(-1) - energy
        accepted = noise.uniform(*log_ratio.shape).to(log_ratio).log() < log_ratio
        every = accepted[..., None]
        old = state.ends
        kept = Ends(
            torch.where(accepted, ends.initial, old.initial),
            torch.where(accepted, ends.final, old.final),
            torch.where(every, ends.initial_gradient, old.initial_gradient),
            torch.where(every, ends.final_gradient, old.final_gradient),
        )
        return State(torch.where(every, z, state.z), kept), accepted.double().mean(0)

    def steps(self) -> list[tuple[float, float]]:
        """Return the pairs (β_{t−1}, β_t)."""
        return list(zip(self.betas, self.betas[1:]))


def rising(
    path: Path, z: Tensor, sizes: Sequence[Tensor], noise: Noise, observe: Observer | None = None
) -> tuple[Tensor, State]:
    """Move chains z from β_0 to β_T; return their log-weights, float64 (chains, batch), and their end.

    If z are samples of f_0, normalized, the mean of the weights' exponentials is an unbiased estimate
    of ∫ f_1, so that the log of their mean is below the log-integral in expectation.

    Args:
        path: The path; ``sizes`` has one step size for each of its steps.
        z: Where the chains start, (chains, batch, latent).
        sizes: Step sizes, fixed before.
        noise: The chains' noise.
        observe: Called after each step.
    """
    state = path.state(z)
    log_weights = torch.zeros(z.shape[:2], dtype=torch.float64, device=z.device)
    for number, (previous, beta) in enumerate(path.steps()):
        log_weights = log_weights + (beta - previous) * state.difference
        state, _ = path.move(state, beta, sizes[number], noise)
        if observe is not None:
            observe(number, log_weights, state)
    return log_weights, state


def falling(path: Path, z: Tensor, sizes: Sequence[Tensor], noise: Noise) -> Tensor:
    """Move chains z from β_T to β_0; return the log-weights of the reversed chains, (chains, batch).

    If each z is an exact sample of f_1, normalized, the mean of exp(−log-weight) is an unbiased
    estimate of 1/∫ f_1, also where the chains of a datum start at the same sample. So ``upper_bound``
    of them is above the log-integral in expectation (Grosse et al. 2015, eq. 9). Arguments are those
    of ``rising``.
    """
    state = path.state(z)
    log_weights = torch.zeros(z.shape[:2], dtype=torch.float64, device=z.device)
    for number, (previous, beta) in reversed(list(enumerate(path.steps()))):
        state, _ = path.move(state, beta, sizes[number], noise)
        log_weights = log_weights + (beta - previous) * state.difference
    return log_weights


def upper_bound(log_weights: Tensor) -> WeightedBound:
    """Return −log 1/K Σ_k exp(−w_k) of the log-weights of falling chains (K, batch), in nats."""
    bound = weighted_bound(-log_weights)
    return bound._replace(value=-bound.value)


def automatic(log_density: LogDensity) -> ValueAndGradient:
    """Return a log-density with its gradient by automatic differentiation."""

    def value_and_gradient(z: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = log_density(z)
            gradient = torch.autograd.grad(value.sum(), z)[0]
        return value.detach(), gradient

    return value_and_gradient


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
    first pass with other noise tunes the step sizes of each datum, which then stay fixed.

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
    initial, joint = automatic(log_initial), automatic(log_joint)

    def ends(z: Tensor) -> Ends:
        (value, gradient), (joint_value, joint_gradient) = initial(z), joint(z)
        return Ends(value, joint_value, gradient, joint_gradient)

    path = Path(ends, sigmoid_schedule(temperatures))
    sizes = sizes_of_each(path, tuning, Noise(*noise_key, "tuning", device=start.device))
    noise = Noise(*noise_key, "chains", device=start.device)
    estimate = weighted_bound(rising(path, start, sizes, noise)[0])
    return estimate.value, estimate.variance


def sigmoid_schedule(temperatures: int) -> list[float]:
    """Return β_0 = 0 … β_T = 1, denser at both ends, where the densities change fastest."""
    curve = torch.linspace(-4, 4, temperatures + 1, dtype=torch.float64).sigmoid()
    betas: list[float] = ((curve - curve[0]) / (curve[-1] - curve[0])).tolist()
    return betas


def sizes_of_each(path: Path, z: Tensor, noise: Noise) -> list[Tensor]:
    """Return step sizes (batch,) for each step of a path, adapted to each datum's acceptance rate."""
    size = torch.full((z.shape[1],), 0.1, dtype=z.dtype, device=z.device)
    state, used = path.state(z), []
    for _, beta in path.steps():
        used.append(size)
        state, accepted = path.move(state, beta, size, noise)
        factor = torch.where(accepted > TARGET_ACCEPTANCE, 1.05, 0.93)
        size = (size * factor).clamp(1e-4, 2.0)
    return used
