"""Likelihoods p(y|z) of integer images, given what a network makes of z.

A decoder takes ``outputs``, shape (..., outputs_per_dimension, D), and gives ``log_prob`` of y in
nats, summed over the D dimensions, as a model of the discrete y; ``sample`` of integers; and
``mean``, the expected y. What each must hold: docs/contract.md.
"""

from math import exp, log
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.densities.bernoulli import bernoulli_log_likelihood
from bench.densities.dequantization import Dequantization, dequantize, dequantized_moments
from bench.densities.normal import LOG_2PI
from bench.errors import InputError
from bench.noise import Noise, cumulative


class Decoder(nn.Module):
    """The likelihood p(y|z); ``outputs_per_dimension`` numbers per pixel come from the network."""

    outputs_per_dimension = 1
    # Whether −log_prob bounds the truth from above; see `bench.models.terms.Model`.
    bound = "upper"

    def __init__(self, dimensions: int, levels: int):
        super().__init__()
        self.dimensions, self.levels = dimensions, levels

    def attach(self, training_images: Tensor) -> None:
        """Take the units of the outputs from the training split, uint8 of shape (n, D)."""

    def log_prob(self, outputs: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """Return log P(y|z), or a lower bound's sample of it, shape (samples, batch)."""
        return self.log_prob_of_pixels(outputs, y, noise).sum(-1).to(outputs.dtype)

    def log_prob_of_pixels(self, outputs: Tensor, y: Tensor, noise: Noise) -> Tensor:
        """Return the summands of ``log_prob``, one for each pixel, shape (samples, batch, D)."""
        raise NotImplementedError

    def sample(self, outputs: Tensor, noise: Noise) -> Tensor:
        """Draw integer y (..., D) as floats in {0, …, levels − 1}."""
        raise NotImplementedError

    def mean(self, outputs: Tensor) -> Tensor:
        """Return E[y|z], shape (..., D), in units of levels."""
        raise NotImplementedError


class Bernoulli(Decoder):
    """Independent Bernoulli pixels; a distribution over binary images and no others."""

    def __init__(self, dimensions: int, levels: int):
        super().__init__(dimensions, levels)
        if levels != 2:
            raise InputError(
                f"model.decoder: Bernoulli is no distribution over {levels} levels, it gives mass "
                "to 0 and 1 only; take a binarized task, or a Gaussian, DiscretizedLogistic or "
                "Categorical decoder"
            )

    def log_prob(self, outputs: Tensor, y: Tensor, noise: Noise) -> Tensor:
        return bernoulli_log_likelihood(outputs.squeeze(-2), y)

    def sample(self, outputs: Tensor, noise: Noise) -> Tensor:
        probability = self.mean(outputs)
        return (noise.uniform(*probability.shape) < probability).float()

    def mean(self, outputs: Tensor) -> Tensor:
        return outputs[..., 0, :].sigmoid()


class LocationScaleDecoder(Decoder):
    """A likelihood with location and scale for each pixel, in units of x = (y + u) / L.

    The network's outputs are standardized: 0 and 1 mean each pixel's mean and standard deviation
    over the training split. Without it a net needs thousands of steps to learn that the margins
    of an image are black to a 256th, and bits/dim are mostly about margins.
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
        # At least a bin: of a pixel that never changes in this split the data does not say how
        # far it may be off in another.
        self.data_scale.copy_(scale.clamp(min=1 / self.levels))

    def take_images(self) -> None:
        """Take outputs as images y / (L − 1) instead, for networks trained to put those out."""
        # Dequantized, y is at (y + ½) / L in the mean, and the output stands for y / (L − 1).
        self.data_mean.fill_(0.5 / self.levels)
        self.data_scale.fill_((self.levels - 1) / self.levels)

    def location(self, outputs: Tensor) -> Tensor:
        """Return the location in units of x, shape (..., D)."""
        return self.data_mean + self.data_scale * outputs[..., 0, :]

    def log_scale_of(self, output: Tensor) -> Tensor:
        """Return the log-scale in units of x for a standardized one."""
        return output + self.data_scale.log()


class Gaussian(LocationScaleDecoder):
    """log N(x; μ(z), σ²) − D log L of the uniformly dequantized x = (y + u) / L: a lower bound.

    Args:
        dimensions: D, the number of pixels and channels.
        levels: L, the number of values that a pixel takes.
        sigma: The standard deviation, in units of x: a number fixes it; shared learns one
            scalar; pixel learns one for each dimension; decoder lets the network put it out;
            optimal takes the analytic maximiser, the root mean square error (Rybkin et al. 2021,
            section 4.2), of the batch in training and of a running mean over batches else.
        dequantization: none models the bins' midpoints, to show that it degenerates.
    """

    # Standard deviations are kept above a tenth of the narrowest bin in use (1/256), and below
    # what overflows.
    log_scale_bounds = (log(0.1 / 256), 15.0)
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
                    f"model.decoder.sigma: {sigma} is no standard deviation between {low:.1e} and {high:.1e}"
                )
            self.register_buffer("log_scale", torch.tensor([log(sigma)]))

    def location_and_log_scale(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
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
        loc, log_scale = self.location_and_log_scale(outputs)
        if self.sigma == "optimal" and self.training:
            error = (x - loc).square().mean()
            self.mean_square_error.lerp_(error.detach(), self.running_rate)
            log_scale = (0.5 * error.log()).clamp(*self.log_scale_bounds)
        standardized = (x - loc) * (-log_scale).exp()
        return -0.5 * (standardized.square() + LOG_2PI) - log_scale - log(self.levels)

    def sample(self, outputs: Tensor, noise: Noise) -> Tensor:
        loc, log_scale = self.location_and_log_scale(outputs)
        x = loc + log_scale.exp() * noise.normal(*loc.shape)
        return (x * self.levels).floor().clamp(0, self.levels - 1)

    def mean(self, outputs: Tensor) -> Tensor:
        loc, _ = self.location_and_log_scale(outputs)
        return (loc * self.levels - 0.5).clamp(0, self.levels - 1)


class DiscretizedDecoder(LocationScaleDecoder):
    """The mass of a distribution in y's bin [y, y + 1) / L; the edge bins are open.

    Masses sum to 1 exactly. A subclass says which distribution.

    Args:
        dimensions: D, the number of pixels and channels.
        levels: L, the number of values that a pixel takes.
        scale: The distribution's scale: one learned scalar, one for each pixel, or put out by
            the network.
    """

    log_scale_bounds: tuple[float, float]
    # Log of the standard deviation at scale 1, and where a shared scale starts, in units of x.
    log_deviation = 0.0
    shared_start = 0.2

    def __init__(
        self,
        dimensions: int,
        levels: int,
        scale: Literal["shared", "pixel", "decoder"] = "decoder",
    ):
        super().__init__(dimensions, levels)
        self.scale = scale
        self.outputs_per_dimension = 2 if scale == "decoder" else 1
        if scale != "decoder":
            shared = torch.tensor([log(self.shared_start)])
            self.log_scale = nn.Parameter(shared if scale == "shared" else torch.zeros(dimensions))

    def location_and_log_scale(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        if self.scale == "shared":
            log_scale: Tensor = self.log_scale
        else:
            free = outputs[..., 1, :] if self.scale == "decoder" else self.log_scale
            log_scale = self.log_scale_of(free) - self.log_deviation
        return self.location(outputs), log_scale.clamp(*self.log_scale_bounds)

    def standardized_cdf(self, x: Tensor) -> Tensor:
        """Return P(X ≤ x) of the distribution with location 0 and scale 1, elementwise."""
        raise NotImplementedError

    def standardized_sample(self, noise: Noise, shape: torch.Size) -> Tensor:
        """Draw from that distribution."""
        raise NotImplementedError

    def sample(self, outputs: Tensor, noise: Noise) -> Tensor:
        loc, log_scale = self.location_and_log_scale(outputs)
        x = loc + log_scale.exp() * self.standardized_sample(noise, loc.shape)
        return (x * self.levels).floor().clamp(0, self.levels - 1)

    def mean(self, outputs: Tensor) -> Tensor:
        loc, log_scale = self.location_and_log_scale(outputs)
        # E[y] = Σ_{k=1}^{L−1} P(y ≥ k), and P(y ≥ k) = F((loc − k/L) / s) by symmetry.
        total = torch.zeros_like(loc)
        for k in range(1, self.levels):
            total += self.standardized_cdf((loc - k / self.levels) * (-log_scale).exp())
        return total


class DiscretizedLogistic(DiscretizedDecoder):
    """The mass of a logistic distribution in y's bin [y, y + 1) / L; the edge bins are open.

    Salimans et al. 2017 (PixelCNN++, eq. 2) with one component.
    """

    # From far narrower than a bin to flat over all of them: beyond, float32 gives no gradient.
    log_scale_bounds = (-7.0, 5.0)
    # A logistic's standard deviation is π/√3 of its scale.
    log_deviation = 0.6
    shared_start = 0.1

    def log_prob_of_pixels(self, outputs: Tensor, y: Tensor, noise: Noise) -> Tensor:
        loc, log_scale = self.location_and_log_scale(outputs)
        precision = (-log_scale).exp()
        lower = (y / self.levels - loc) * precision
        width = precision / self.levels
        upper = lower + width
        # σ(b) − σ(a) = σ(b) σ(−a) (1 − e^{a−b}): exact, and stable in both tails.
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
        mass = torch.where(y == 0, F.logsigmoid(upper), inside)
        return torch.where(y == self.levels - 1, F.logsigmoid(-lower), mass)

    def standardized_cdf(self, x: Tensor) -> Tensor:
        return x.sigmoid()

    def standardized_sample(self, noise: Noise, shape: torch.Size) -> Tensor:
        return noise.uniform(*shape).clamp(1e-7, 1 - 1e-7).logit()


class Categorical(Decoder):
    """An own probability for each of the L levels of each pixel: the lecture's discrete model."""

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
