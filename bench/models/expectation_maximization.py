"""Expectation maximization for models whose E-step and M-step are exact, in float64.

Alternating steps raise the bound L(q, θ) = E_q[log p(x, z|θ)] + H(q). The E-step sets q to the
posterior p(z|x, θ), which closes the gap to log p(x|θ); the M-step maximizes L over θ (Dempster et
al. 1977; Neal & Hinton 1998). All numbers are in nats per datum, of x = (y + u)/L with one fixed
draw of u.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypedDict, TypeVar

from torch import Tensor

from bench.densities.dequantization import dequantize_uniformly
from bench.noise import Noise
from bench.settings import Progress

Posterior = TypeVar("Posterior")
Parameters = TypeVar("Parameters")


class HalfStep(TypedDict):
    """L(q, θ) and the evidence log p(x|θ) after an E-step or M-step, in nats per datum."""

    iteration: int
    half_step: Literal["E", "M"]
    elbo: float
    log_evidence: float


@dataclass(frozen=True)
class HalfSteps(Generic[Posterior, Parameters]):
    """The parts of EM on given data.

    Attributes:
        e_step: Returns q for parameters θ.
        m_step: Returns the θ that maximizes L(q, θ).
        bound: Returns L(q, θ), computed from q, not from the evidence.
        log_evidence: Returns log p(x|θ), computed without q.
    """

    e_step: Callable[[Parameters], Posterior]
    m_step: Callable[[Posterior], Parameters]
    bound: Callable[[Posterior, Parameters], float]
    log_evidence: Callable[[Parameters], float]


def expectation_maximization(
    steps: HalfSteps[Posterior, Parameters],
    parameters: Parameters,
    iterations: int,
    converged: float = float("-inf"),
    progress: Progress = lambda phase, share, text: None,
) -> tuple[Parameters, list[HalfStep]]:
    """Return the parameters after EM, and the bound and the evidence after every half-step.

    Args:
        steps: The half-steps on the data.
        parameters: The initial parameters.
        iterations: Largest number of pairs of half-steps.
        converged: EM stops when an iteration raises the bound by less than this, in nats per datum.
        progress: Called with progress after every iteration.
    """
    trace: list[HalfStep] = []
    evidence = steps.log_evidence(parameters)
    for iteration in range(1, iterations + 1):
        q = steps.e_step(parameters)
        after_e = steps.bound(q, parameters)
        trace.append(half_step(iteration, "E", after_e, evidence))
        parameters = steps.m_step(q)
        evidence = steps.log_evidence(parameters)
        after_m = steps.bound(q, parameters)
        trace.append(half_step(iteration, "M", after_m, evidence))
        progress("train", iteration / iterations, f"EM, iteration {iteration}/{iterations}")
        if after_m - after_e < converged:
            break
    return parameters, trace


def half_step(iteration: int, name: Literal["E", "M"], bound: float, evidence: float) -> HalfStep:
    return {"iteration": iteration, "half_step": name, "elbo": bound, "log_evidence": evidence}


def dequantized(images: Tensor, levels: int, seed: int) -> Tensor:
    """Return one fixed draw of x = (y + u)/L, float64 (n, D), for training images (n, D)."""
    noise = Noise(seed, "dequantization for EM", device=images.device)
    return dequantize_uniformly(images, levels, 1, noise)[0].double().cpu()
