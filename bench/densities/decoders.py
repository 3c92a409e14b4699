"""Likelihoods p(y|z) of integer images, given a network's outputs for z.

*Decoder* means the likelihood p(y|z) here, which the field also calls the observation model. The
network that maps z to the likelihood's parameters is the *decoder network*.

A decoder gets that network's ``outputs``, shape (..., outputs_per_dimension, D). ``log_prob`` is
the log-probability of the discrete y in nats, summed over the D dimensions; ``sample`` draws
integers; ``mean`` is the expected y. docs/contract.md says what each of them must satisfy.
"""

from math import exp, log
from typing import Literal

import torch
from torch import Tensor, nn

from bench.densities.bernoulli import bernoulli_log_likelihood
from bench.densities.dequantization import (
    Dequantization,
    dequantize,
    dequantized_moments,
    expected_level,
    quantize,
)
from bench.densities.normal import LOG_2PI
from bench.errors import InputError
from bench.noise import Noise, cumulative
from bench.settings import Bound

# Log of a tenth of the narrowest bin in use, 1/256.
SMALLEST_LOG_SCALE = log(0.1 / 256)


class Decoder(nn.Module):
    """The likelihood p(y|z), given ``outputs_per_dimension`` network outputs for each pixel."""

    outputs_per_dimension = 1
    # Relation of −log_prob to the true one; see `bench.settings.Bound`.
    bound: Bound = "upper"

    def __init__(self, dimensions: int, levels: int):
        super().__init__()
        self.dimensions, self.levels = dimensions, levels

    def attach(self, training_images: Tensor) -> None:
        """Set the units of the outputs by the training split, uint8 of shape (n, D)."""

    def log_prob(self, outputs: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """Return log P(y|z), or samples whose mean bounds it from below, shape (samples, batch)."""
        return self.log_prob_of_pixels(outputs, y, noise).sum(-1).to(outputs.dtype)

    def log_prob_of_pixels(self, outputs: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """Return the summands of ``log_prob``, one per pixel, shape (samples, batch, D)."""
        raise NotImplementedError

    def sample(self, outputs: Tensor, noise: Noise) -> Tensor:
        """Draw integer y (..., D) as floats in {0, …, levels − 1}."""
        raise NotImplementedError

    def mean(self, outputs: Tensor) -> Tensor:
        """Return E[y|z], shape (..., D), in units of levels."""
        raise NotImplementedError


class Bernoulli(Decoder):
    """Independent Bernoulli pixels: a distribution over binary images only."""

    def __init__(self, dimensions: int, levels: int):
        super().__init__(dimensions, levels)
        if levels != 2:
            raise InputError(
                f"model.decoder: Bernoulli is a distribution over 2 levels, not {levels}; take a "
                "binarized task, or a Gaussian, DiscretizedLogistic or Categorical decoder"
            )

    def log_prob(self, outputs: Tensor, y: Tensor, noise: Noise) -> Tensor:
        return bernoulli_log_likelihood(outputs.squeeze(-2), y)

    def sample(self, outputs: Tensor, noise: Noise) -> Tensor:
        probability = self.mean(outputs)
        return (noise.uniform(*probability.shape) < probability).float()

    def mean(self, outputs: Tensor) -> Tensor:
        return outputs[..., 0, :].sigmoid()


class LocationScaleDecoder(Decoder):
    """A likelihood with a location and a scale per pixel, in units of x = (y + u) / L.

    The network's outputs are standardized: 0 is the pixel's mean over the training split, and 1 is
    one standard deviation above it. Otherwise a network needs thousands of steps to learn that an
    image's margins are black to 1/256, and the margins contribute most to bits/dim.
    """

    data_mean: Tensor
    data_scale: Tensor

    def __init__(self, dimensions: int, levels: int):
        super().__init__(dimensions, levels)
        self.register_buffer("data_mean", torch.full((dimensions,), 0.5))
        self.register_buffer("data_scale", torch.full((dimensions,), 0.2))

    def attach(self, training_images: Tensor) -> None:
        mean, scale = dequantized_moments(training_images, self.levels)
        self.data_mean.copy_(mean)
        # At least a bin: for a pixel that is constant in this split, the data does not show how
        # much it may vary in another.
        self.data_scale.copy_(scale.clamp(min=1 / self.levels))

    def take_images(self) -> None:
        """Read outputs as images y / (L − 1) instead, for networks that were trained to do so."""
        # The mean of the dequantized y is (y + ½) / L, and an output is y / (L − 1).
        self.data_mean.fill_(0.5 / self.levels)
        self.data_scale.fill_((self.levels - 1) / self.levels)

    def location(self, outputs: Tensor) -> Tensor:
        """Return the location in units of x, shape (..., D)."""
        return self.data_mean + self.data_scale * outputs[..., 0, :]

    def log_scale_of(self, output: Tensor) -> Tensor:
        """Return the log-scale in units of x, given the standardized one."""
        return output + self.data_scale.log()


class Gaussian(LocationScaleDecoder):
    """log N(x; μ(z), σ²) − D log L of the uniformly dequantized x = (y + u) / L: a lower bound.

    Args:
        dimensions: D, the number of pixels and channels.
        levels: L, the number of values that a pixel takes.
        sigma: The standard deviation in units of x: a number fixes it; shared learns one scalar;
            pixel learns one per dimension; decoder makes it a network output; optimal takes the
            analytic maximizer, the root mean square error (Rybkin et al. 2021, section 4.2), of
            the batch in training mode and of a running mean over batches in evaluation mode.
        dequantization: none models the midpoints of bins, to show that this degenerates.
    """

    # The upper bound prevents overflow.
    log_scale_bounds = (SMALLEST_LOG_SCALE, 15.0)
    running_rate = 0.01
    mean_square_error: Tensor

    def __init__(
        self,
        dimensions: int,
        levels: int,
        sigma: Literal["shared", "pixel", "decoder", "optimal"] | float = "decoder",
        dequantization: Dequantization = "uniform",
    ):
        super().__init__(dimensions, levels)
        self.sigma, self.dequantization = sigma, dequantization
        self.bound = "upper" if dequantization == "uniform" else "none"
        self.outputs_per_dimension = 2 if sigma == "decoder" else 1
        if sigma == "shared":
            self.log_scale = nn.Parameter(torch.tensor([log(0.2)]))
        elif sigma == "pixel":
            self.log_scale = nn.Parameter(torch.zeros(dimensions))
        elif sigma == "optimal":
            self.register_buffer("mean_square_error", torch.tensor([0.2**2]))
        elif sigma != "decoder":
            low, high = (exp(bound) for bound in self.log_scale_bounds)
            if not low <= sigma <= high:
                raise InputError(
                    f"model.decoder.sigma: {sigma} is not a standard deviation between {low:.1e} "
                    f"and {high:.1e}"
                )
            self.register_buffer("log_scale", torch.tensor([log(sigma)]))

    def location_and_log_scale(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return location and log standard deviation in units of x, broadcastable to (..., D)."""
        loc = self.location(outputs)
        if self.sigma == "decoder":
            log_scale = self.log_scale_of(outputs[..., 1, :])
        elif self.sigma == "pixel":
            log_scale = self.log_scale_of(self.log_scale)
        elif self.sigma == "optimal":
            log_scale = 0.5 * self.mean_square_error.log()
        else:
            log_scale = self.log_scale
        return loc, log_scale.clamp(*self.log_scale_bounds)

    def log_prob_of_pixels(self, outputs: Tensor, y: Tensor, noise: Noise) -> Tensor:
        x = dequantize(y, self.levels, outputs.shape[0], noise, self.dequantization)
        return self.log_density_of_pixels(outputs, x)

    def log_density_of_pixels(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Return log N(x; μ, σ²) − log L for each pixel of dequantized x (samples, batch, D)."""
        loc, log_scale = self.location_and_log_scale(outputs)
        if self.sigma == "optimal" and self.training:
            error = (x - loc).square().mean()
            change = error.detach() - self.mean_square_error
            self.mean_square_error.add_(change, alpha=self.running_rate)
            log_scale = (0.5 * error.log()).clamp(*self.log_scale_bounds)
        standardized = (x - loc) * (-log_scale).exp()
        return -0.5 * (standardized.square() + LOG_2PI) - log_scale - log(self.levels)

    def sample(self, outputs: Tensor, noise: Noise) -> Tensor:
        loc, log_scale = self.location_and_log_scale(outputs)
        return quantize(loc + log_scale.exp() * noise.normal(*loc.shape), self.levels)

    def mean(self, outputs: Tensor) -> Tensor:
        loc, _ = self.location_and_log_scale(outputs)
        return expected_level(loc, self.levels)


class Categorical(Decoder):
    """Independent pixels with a free probability for each of the L levels."""

    def __init__(self, dimensions: int, levels: int):
        super().__init__(dimensions, levels)
        self.outputs_per_dimension = levels

    def log_prob_of_pixels(self, outputs: Tensor, y: Tensor, noise: Noise) -> Tensor:
        chosen = y.long().expand(*outputs.shape[:-2], -1).unsqueeze(-2)
        logits = outputs.gather(-2, chosen).squeeze(-2)
        return logits - outputs.logsumexp(-2)

    def sample(self, outputs: Tensor, noise: Noise) -> Tensor:
        sums = cumulative(outputs.softmax(-2), -2)
        u = noise.uniform(*sums[..., 0, :].shape)
        return (sums[..., :-1, :] <= u.unsqueeze(-2)).sum(-2).float()

    def mean(self, outputs: Tensor) -> Tensor:
        level = torch.arange(self.levels, device=outputs.device, dtype=outputs.dtype)
        return (outputs.softmax(-2) * level[:, None]).sum(-2)
