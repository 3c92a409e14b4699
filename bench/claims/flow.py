"""Claim 9: a flow is a VAE with deterministic encoder and decoder, and its inference gap is 0."""

from collections.abc import Callable
from copy import deepcopy
from math import log
from typing import cast

import torch
from torch import Tensor

from bench.claims.rows import EXACT, Row, Subject, equal, rounding
from bench.densities.dequantization import dequantize_uniformly
from bench.models.realnvp import RealNVP, flow_terms
from bench.models.terms import Model
from bench.noise import Noise

# Number of images; each Jacobian by autograd takes a backward pass for each pixel.
JACOBIANS = 10


def flow_rows(model: Model, y: Tensor, seed: int, subject: Subject) -> list[Row]:
    """Return the flow's terms against the change of variables, and the error of f⁻¹(f(x)).

    Empty for any other model than a RealNVP of dequantized pixels.
    """
    if not isinstance(model, RealNVP) or model.bound != "upper":
        return []
    y = y[:JACOBIANS].cpu()
    x = dequantize_uniformly(y, model.levels, 1, Noise(seed, "flow as a VAE"))[0]
    single = deepcopy(model).cpu()
    double = deepcopy(model).cpu().double()

    def encode(pixels: Tensor) -> Tensor:
        standardized, _ = double.standardization(double.preprocessing(pixels)[0])
        return double.flow(standardized)[0]

    exact = torch.stack([log_density(encode, pixels) for pixels in x.double()])
    exact = exact - model.dimensions * log(model.levels)
    with torch.no_grad():
        terms = flow_terms(single, x[None])
        bound = terms.elbo[0].double()
        # Optional in Terms, but every flow has it.
        prior = cast(Tensor, terms.log_prior)[0].double()
        z = encode(x.double())
        back = double.preprocessing.inverse(double.standardization.inverse(double.flow.inverse(z)))
    return [
        equal(
            9,
            "reconstruction (log |det ∂f/∂x|) + log p(f(x)) = log p(x) by the change of variables",
            subject,
            bound.mean().item(),
            exact.mean().item(),
            tolerance=rounding(exact.abs().mean().item() + prior.abs().mean().item()),
        ),
        equal(
            9,
            "the decoder undoes the encoder: the largest |f⁻¹(f(x)) − x| is 0",
            subject,
            (back - x.double()).abs().max().item(),
            0.0,
            tolerance=EXACT,
            unit="of the range of x",
        ),
    ]


def log_density(encode: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return log N(f(x); 0, I) + log |det ∂f/∂x| in nats for x (D,), the Jacobian by autograd."""
    jacobian = torch.autograd.functional.jacobian(encode, x)
    z = encode(x).detach()
    normal = torch.distributions.Normal(torch.zeros_like(z), 1.0)
    return normal.log_prob(z).sum() + torch.linalg.slogdet(jacobian)[1]
