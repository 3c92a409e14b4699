"""Priors p(z) of a VAE. A prior's ``forward`` gets the encoder and returns a density.

``index`` holds the positions of the batch's data in the training split, and is None except in
training. Priors made of encoded training data leave out each datum's own component by it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Protocol

import torch
from torch import Tensor, nn

from bench.densities.flows import CouplingFlow
from bench.densities.normal import (
    DiagonalNormal,
    NormalMixture,
    standard_normal_log_prob,
    uniform_mixture,
)
from bench.errors import InputError
from bench.noise import Noise
from bench.settings import check_at_least_one

Encode = Callable[[Tensor], DiagonalNormal]


class Density(Protocol):
    """A density over z."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log-densities in nats of z (..., batch, latent), shape (..., batch)."""

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draw (n, latent)."""


class Prior(nn.Module):
    """p(z) over ``latent_dimensions`` dimensions."""

    # Whether a datum's own component is left out in training, which takes the datum's index.
    excludes_own = False
    # Whether it is made of encoded images, which then are diagonal normals.
    is_encoded = False

    def __init__(self, latent_dimensions: int, dimensions: int, levels: int):
        super().__init__()

    def attach(self, training_images: Tensor) -> None:
        """Keep the training split, uint8 of shape (n, D), if the prior is made of it."""

    @property
    def components(self) -> int:
        """Number of data whose components evaluation sums over; 0 if the prior is not made of data."""
        return 0

    def forward(self, encode: Encode, noise: Noise, index: Tensor | None) -> Density:
        """Return p(z); in training, for the data at ``index`` (batch,) of the training split."""
        raise NotImplementedError


@dataclass(frozen=True)
class StandardNormalDensity:
    """N(0, I)."""

    latent_dimensions: int

    def log_prob(self, z: Tensor) -> Tensor:
        return standard_normal_log_prob(z)

    def sample(self, n: int, noise: Noise) -> Tensor:
        return noise.normal(n, self.latent_dimensions)


class StandardNormal(Prior):
    """p(z) = N(0, I)."""

    def __init__(self, latent_dimensions: int, dimensions: int, levels: int):
        super().__init__(latent_dimensions, dimensions, levels)
        self.density = StandardNormalDensity(latent_dimensions)

    def forward(self, encode: Encode, noise: Noise, index: Tensor | None) -> Density:
        return self.density


class Aggregate(Prior):
    """p(z) = q_agg(z) = 1/n Σ_j q(z|x_j) over the training split: the optimal prior.

    Hoffman & Johnson 2016. In training, the sum runs over ``exemplars`` data, drawn anew at each
    step, without the datum's own component; by Jensen's inequality, fewer exemplars only lower the
    bound. In evaluation, it runs over the whole training split.

    Args:
        exemplars: Number of training data in the sum at each training step.
    """

    excludes_own = True
    is_encoded = True

    def __init__(self, latent_dimensions: int, dimensions: int, levels: int, exemplars: int = 500):
        super().__init__(latent_dimensions, dimensions, levels)
        if exemplars < 2:
            raise InputError(
                f"model.prior.exemplars: {exemplars} leaves none without the datum's own; "
                "take 2 or more"
            )
        self.exemplars = exemplars
        # Not persistent: the data belongs to the task, and checkpoints do not contain it.
        self.register_buffer("images", None, persistent=False)

    def attach(self, training_images: Tensor) -> None:
        self.images = training_images

    @property
    def components(self) -> int:
        return len(attached(self.images))

    def forward(self, encode: Encode, noise: Noise, index: Tensor | None) -> Density:
        images = attached(self.images)
        if index is None:
            return aggregated_posterior(encode, images)
        chosen = noise.shared_permutation(len(images))[: self.exemplars]
        weights = torch.full((len(chosen),), -log(len(chosen)), device=images.device)
        own = index[:, None] == chosen
        return NormalMixture(encode(images[chosen]), weights, excluded=own)


def attached(images: Tensor | None) -> Tensor:
    """Return the training split that a prior is made of. Raises InputError if it has not seen it."""
    if images is None:
        raise InputError(
            "model: its prior is made of the training split, which it has not seen; call "
            "attach(images) of the model first, with uint8 images (n, D)"
        )
    return images


ENCODING_BLOCK = 1000


@torch.no_grad()
def aggregated_posterior(encode: Encode, images: Tensor) -> NormalMixture:
    """Return q_agg(z) = 1/n Σ_j q(z|x_j) over all of ``images`` (n, D)."""
    parts = [encode(block) for block in images.split(ENCODING_BLOCK)]
    return uniform_mixture(
        DiagonalNormal(
            torch.cat([part.loc for part in parts]), torch.cat([part.log_scale for part in parts])
        )
    )


class Mixture(Prior):
    """p(z) = Σ_k w_k N(z; μ_k, diag σ_k²), all learned.

    Args:
        components: Number of components.
    """

    def __init__(self, latent_dimensions: int, dimensions: int, levels: int, components: int = 50):
        super().__init__(latent_dimensions, dimensions, levels)
        check_at_least_one("model.prior.", components=components)
        self.loc = nn.Parameter(torch.randn(components, latent_dimensions))
        self.log_scale = nn.Parameter(torch.zeros(components, latent_dimensions))
        self.logits = nn.Parameter(torch.zeros(components))

    def forward(self, encode: Encode, noise: Noise, index: Tensor | None) -> Density:
        components = DiagonalNormal(self.loc, self.log_scale)
        return NormalMixture(components, self.logits.log_softmax(0))


class Vamp(Prior):
    """p(z) = Σ_k w_k q(z|u_k) with learned pseudo-inputs u_k (Tomczak & Welling 2018, eq. 9).

    Args:
        pseudo_inputs: Number K of pseudo-inputs.
        learned_weights: Whether the w_k are learned too; otherwise each is 1/K.
    """

    is_encoded = True

    def __init__(
        self,
        latent_dimensions: int,
        dimensions: int,
        levels: int,
        pseudo_inputs: int = 500,
        learned_weights: bool = False,
    ):
        super().__init__(latent_dimensions, dimensions, levels)
        check_at_least_one("model.prior.", pseudo_inputs=pseudo_inputs)
        self.largest = levels - 1
        # ``forward`` clamps them to the pixels' range, as the authors' code does (Hardtanh).
        self.pseudo_inputs = nn.Parameter(0.5 + 0.1 * torch.randn(pseudo_inputs, dimensions))
        self.logits = nn.Parameter(torch.zeros(pseudo_inputs), requires_grad=learned_weights)

    def forward(self, encode: Encode, noise: Noise, index: Tensor | None) -> Density:
        components = encode(self.pseudo_inputs.clamp(0, 1) * self.largest)
        return NormalMixture(components, self.logits.log_softmax(0))


@dataclass(frozen=True)
class FlowDensity:
    """The density of f⁻¹(ε), ε ~ N(0, I)."""

    flow: CouplingFlow
    dimensions: int

    def log_prob(self, z: Tensor) -> Tensor:
        base, log_determinant = self.flow(z)
        return standard_normal_log_prob(base) + log_determinant

    def sample(self, n: int, noise: Noise) -> Tensor:
        return self.flow.inverse(noise.normal(n, self.dimensions))


class Flow(Prior):
    """p(z) is a RealNVP: the density of a normalizing flow over z.

    Args:
        couplings: Number of affine couplings.
        widths: Hidden units of each layer of each coupling's network.
    """

    def __init__(
        self,
        latent_dimensions: int,
        dimensions: int,
        levels: int,
        couplings: int = 6,
        widths: list[int] = [128, 128],
    ):
        super().__init__(latent_dimensions, dimensions, levels)
        flow = CouplingFlow((latent_dimensions,), couplings, widths, "half")
        self.flow, self.latent_dimensions = flow, latent_dimensions

    def forward(self, encode: Encode, noise: Noise, index: Tensor | None) -> Density:
        return FlowDensity(self.flow, self.latent_dimensions)
