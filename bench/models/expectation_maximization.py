"""Expectation maximization for models whose E-step and M-step are exact, in float64.

The bound L(q, θ) = E_q[log p(x, z|θ)] + H(q) is raised by turns: the E-step sets q to the posterior
p(z|x, θ), which closes the gap to log p(x|θ); the M-step maximizes over θ (Dempster et al. 1977;
Neal & Hinton 1998). All is in nats per datum, of x = (y + u)/L with one fixed draw of u.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bench.densities.dequantization import dequantize_uniformly
from bench.noise import Noise
from bench.settings import Progress


@dataclass(frozen=True)
class HalfSteps:
    """The parts of EM on given data.

    Attributes:
        e_step: Returns q for parameters θ.
        m_step: Returns the θ that maximizes L(q, θ).
        bound: Returns L(q, θ), computed from q, not from the evidence.
        log_evidence: Returns log p(x|θ), computed without q.
    """

    e_step: Callable[[Any], Any]
    m_step: Callable[[Any], Any]
    bound: Callable[[Any, Any], float]
    log_evidence: Callable[[Any], float]


def expectation_maximization(
    steps: HalfSteps,
    parameters: Any,
    iterations: int,
    converged: float = float("-inf"),
    progress: Progress = lambda phase, share, text: None,
) -> tuple[Any, list[dict]]:
    """Return the parameters after EM, and the bound and the evidence after every half-step.

    Args:
        steps: The half-steps on the data.
        parameters: Where to start.
        iterations: Largest number of pairs of half-steps.
        converged: Stops once an M-step raises the bound by less than this, in nats per datum.
        report: Is told how far it is, as a run's training.
    """
    trace: list[dict] = []
    evidence = steps.log_evidence(parameters)
    for iteration in range(1, iterations + 1):
        q = steps.e_step(parameters)
        closed = steps.bound(q, parameters)
        trace.append(half_step(iteration, "E", closed, evidence))
        parameters = steps.m_step(q)
        evidence = steps.log_evidence(parameters)
        raised = steps.bound(q, parameters)
        trace.append(half_step(iteration, "M", raised, evidence))
        progress("train", iteration / iterations, f"EM, iteration {iteration}/{iterations}")
        if raised - closed < converged:
            break
    return parameters, trace


def half_step(iteration: int, name: str, bound: float, evidence: float) -> dict:
    return {"iteration": iteration, "half_step": name, "elbo": bound, "log_evidence": evidence}


def dequantized(images: Tensor, levels: int, seed: int) -> Tensor:
    """Return one fixed draw of x = (y + u)/L, float64 (n, D), for training images (n, D)."""
    noise = Noise(seed, "dequantization for EM", device=images.device)
    return dequantize_uniformly(images, levels, 1, noise)[0].double().cpu()
