"""A VAE that was trained elsewhere, measured like the others."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from bench.densities.decoders import Bernoulli, Decoder, Gaussian, LocationScaleDecoder
from bench.densities.dequantization import dequantize_uniformly
from bench.densities.normal import DiagonalNormal
from bench.densities.priors import Density, Encode, Prior, StandardNormal
from bench.errors import InputError
from bench.models.vae import VAE
from bench.networks.mlp import Network, Shape
from bench.noise import Noise

Encoded = tuple[Tensor, Tensor] | DiagonalNormal | Distribution
# Images that a model is checked on before it is evaluated.
TRIED = 3
BLOCK = 1000


@contextmanager
def evaluation_mode(*parts: object) -> Iterator[None]:
    """Put every module of ``parts`` into evaluation mode, and restore its mode afterwards."""
    modules = [m for part in parts if isinstance(part, nn.Module) for m in part.modules()]
    before = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, training in zip(modules, before):
            module.training = training


class ExternalEncoder(Network):
    """The caller's ``encode`` as the network of a ``NormalPosterior``."""

    def __init__(self, encode: Callable[[Tensor], Encoded], shape: Shape, flat: bool):
        super().__init__(shape, ())
        self.encode, self.shape, self.flat = encode, shape, flat
        # Registered, so that eval() and to(device) reach the module whose method it is.
        self.owner = owner_of(encode)

    def forward(self, x: Tensor) -> Tensor:
        """Return mean and log-variance (batch, 2·latent) of images (batch, D) in [0, 1]."""
        encoded = self.encode(x if self.flat else x.unflatten(-1, self.shape))
        if isinstance(encoded, DiagonalNormal):
            loc, log_variance = encoded.loc, 2 * encoded.log_scale
        elif isinstance(encoded, Distribution):
            base = encoded.base_dist if isinstance(encoded, Independent) else encoded
            if not isinstance(base, Normal):
                raise InputError(f"encode: {type(base).__name__}; a diagonal normal is needed")
            loc, log_variance = base.loc, 2 * base.scale.log()
        elif isinstance(encoded, tuple) and len(encoded) == 2:
            loc, log_variance = encoded
        else:
            raise InputError(
                f"encode: returned {type(encoded).__name__}; (mean, log-variance) or a normal "
                "distribution is needed"
            )
        if loc.ndim != 2 or len(loc) != len(x) or loc.shape != log_variance.shape:
            raise InputError(
                f"encode: mean of shape {tuple(loc.shape)} and log-variance of "
                f"{tuple(log_variance.shape)} for {len(x)} images; (batch, latent) each is needed"
            )
        return torch.cat((loc, log_variance), dim=-1)


class ExternalDecoder(Network):
    """The caller's ``decode`` as the network before a likelihood."""

    def __init__(self, decode: Callable[[Tensor], Tensor | Sequence[Tensor]], shape: Shape):
        super().__init__((), shape)
        self.decode, self.shape = decode, tuple(shape)
        self.owner = owner_of(decode)
        self.outputs_per_dimension = 1

    def forward(self, z: Tensor) -> Tensor:
        """Return the likelihood's outputs, flattened, (..., k·D) for z (..., latent)."""
        rows = z.flatten(0, -2)
        decoded, k, pixels = self.decode(rows), self.outputs_per_dimension, prod(self.shape)
        outputs = decoded if isinstance(decoded, Tensor) else torch.stack(list(decoded), 1)
        allowed = {(k, pixels), (k, *self.shape)}
        if k == 1:
            allowed |= {(pixels,), self.shape}
        if tuple(outputs.shape[1:]) not in allowed or len(outputs) != len(rows):
            wanted = " or ".join(str((len(rows), *shape)) for shape in sorted(allowed, key=len))
            raise InputError(
                f"decode: outputs of shape {tuple(outputs.shape)} for z of {tuple(rows.shape)}; "
                f"{wanted} is needed"
            )
        return outputs.reshape(*z.shape[:-1], k * pixels)


def owner_of(function: object) -> nn.Module | None:
    owner = getattr(function, "__self__", function)
    return owner if isinstance(owner, nn.Module) else None


@dataclass(frozen=True)
class DistributionDensity:
    """A distribution of PyTorch as a density over z.

    It draws where its parameters are, so that its samples differ between a GPU and a CPU.
    """

    distribution: Distribution

    def log_prob(self, z: Tensor) -> Tensor:
        log_prob: Tensor = self.distribution.log_prob(z)
        return log_prob

    def sample(self, n: int, noise: Noise) -> Tensor:
        # PyTorch's distributions draw from the global generator only.
        seed = torch.randint(2**62, (), generator=noise.generator, device=noise.generator.device)
        with torch.random.fork_rng():
            torch.manual_seed(int(seed))
            return self.distribution.sample((n,))


class GivenPrior(Prior):
    """A prior p(z) that the caller gives."""

    def __init__(self, density: Density | Distribution, latent_dimensions: int):
        super().__init__(latent_dimensions, 0, 0)
        if isinstance(density, Distribution):
            if density.event_shape != (latent_dimensions,):
                raise InputError(
                    f"prior: events of shape {tuple(density.event_shape)} for z of "
                    f"({latent_dimensions},); torch.distributions.Independent makes dimensions one"
                )
            density = DistributionDensity(density)
        missing = [name for name in ("log_prob", "sample") if not hasattr(density, name)]
        if missing:
            raise InputError(f"prior: {type(density).__name__} has no {' and no '.join(missing)}")
        self.density = density

    def forward(self, encode: Encode, noise: Noise, index: Tensor | None) -> Density:
        return self.density


class ExternalVAE(VAE):
    """A VAE made elsewhere: an encoder, a decoder and a prior, of any framework that uses tensors.

    A module whose method is given is put into evaluation mode for the evaluation. A module that is
    only called inside a function is not found, and has to be in evaluation mode already.

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        encode: Maps images y / (L − 1) in [0, 1], float32 of shape (batch, D), to q(z|y): a tuple
            of mean and log-variance, each (batch, latent), or a normal distribution. The
            log-variance is kept in [−12, 12].
        decode: Maps z (rows, latent) to what the likelihood takes, (rows, D), or (rows, k, D)
            where it takes k numbers for each pixel; a tuple of k tensors will do, and
            (channels, height, width) in the place of D. For Bernoulli: logits. For Gaussian and
            the discretized ones: the mean as an image in [0, 1], and its log standard deviation
            in the same unit where the network puts that out too. For Categorical: logits.
        likelihood: One of ``bench.densities``, or what makes one from D and L:
            ``partial(densities.Gaussian, sigma=0.1)``, where a number is in units of (y + u) / L.
            With sigma="optimal", for a decoder that was trained by squared error, σ is the root
            mean square error on the training split.
        prior: A distribution over z with ``log_prob``, and ``sample(n, noise)`` where it is none
            of PyTorch's. Standard normal if not given.
        flat: Whether ``encode`` takes (batch, D); else (batch, channels, height, width).

    Raises:
        InputError: A shape or levels that no images have, outputs of other shapes, an encoding or
            decoding that depends on the rest of its batch, a likelihood that cannot be this one.

    Examples:
        >>> import torch
        >>> from bench import EvaluationConfig, Task, densities, evaluate, load_task
        >>> data = load_task(Task("digits", "threshold"))
        >>> encode = lambda x: (x[:, :2], torch.zeros(len(x), 2))
        >>> decode = lambda z: torch.zeros(len(z), 64)
        >>> model = ExternalVAE(data.shape, 2, encode, decode, densities.Bernoulli)
        >>> test = evaluate(model, data, EvaluationConfig(importance_samples=2))["test"]
        >>> round(test["reconstruction"].value, 3)  # every pixel costs log 2 at these logits
        -44.361
    """

    # Each parameter is a part of the model that only the caller has.
    def __init__(
        self,
        shape: tuple[int, int, int],
        levels: int,
        encode: Callable[[Tensor], Encoded],
        decode: Callable[[Tensor], Tensor | Sequence[Tensor]],
        likelihood: Callable[[int, int], Decoder],
        prior: Density | Distribution | None = None,
        flat: bool = True,
    ):
        check_images(shape, levels)
        encoder, decoder = ExternalEncoder(encode, shape, flat), ExternalDecoder(decode, shape)
        tried = try_encoder(encoder, shape, levels)
        latent = tried.shape[-1] // 2
        super().__init__(
            shape,
            levels,
            latent,
            encoder=lambda inputs, outputs: encoder,
            decoder_network=lambda inputs, outputs: decoder,
            decoder=likelihood,
            prior=StandardNormal if prior is None else lambda *sizes: GivenPrior(prior, latent),
        )
        if prior is not None:
            self.prior_name = type(prior).__name__
        self.shape, self.levels = tuple(shape), levels
        decoder.outputs_per_dimension = self.decoder.outputs_per_dimension
        check_likelihood(self.decoder)
        if isinstance(self.decoder, LocationScaleDecoder):
            self.decoder.take_images()
        self.decoder.to(tried.device)
        with torch.no_grad(), evaluation_mode(encoder, decoder):
            outputs = decoder(tried[:, :latent])
            alone = decoder(tried[:1, :latent])
        check_alone("decode", outputs[:1], alone)
        check_no_probabilities(self.decoder, outputs)

    def attach(self, training_images: Tensor) -> None:
        """Fit σ where it is "optimal"; the outputs keep the caller's units."""
        self.forget_prior()
        if isinstance(self.decoder, Gaussian) and self.decoder.sigma == "optimal":
            self._fit_sigma(self.decoder, training_images)

    @torch.no_grad()
    def _fit_sigma(self, likelihood: Gaussian, images: Tensor) -> None:
        noise, total = Noise("optimal sigma", device=images.device), 0.0
        for y in images.split(BLOCK):
            z = self.posterior(y).sample(noise, 1)
            x = dequantize_uniformly(y, likelihood.levels, 1, noise)
            error = x - likelihood.location(self.decode(z))
            total += error.double().square().sum().item()
        likelihood.mean_square_error.fill_(total / images.numel())


def check_images(shape: Shape, levels: int) -> None:
    sizes = list(shape) if isinstance(shape, Sequence) else []
    whole = all(isinstance(part, Integral) and not isinstance(part, bool) for part in sizes)
    if len(sizes) != 3 or not whole or min(sizes) < 1:
        raise InputError(f"shape: {shape!r} is not (channels, height, width)")
    if not isinstance(levels, Integral) or isinstance(levels, bool) or levels < 2:
        raise InputError(f"levels: {levels!r} is no whole number from 2 on")


def made_up_images(count: int, shape: Shape, levels: int, module: nn.Module) -> Tensor:
    """Return random values y of pixels, float32 (count, D), where a module's parameters are."""
    parameter = next(module.parameters(), torch.empty(0))
    drawn = Noise("tried images").uniform(count, prod(shape)) * levels
    return drawn.floor().to(parameter.device)


@torch.no_grad()
def try_encoder(encoder: ExternalEncoder, shape: Shape, levels: int) -> Tensor:
    """Return the encodings (TRIED, 2·latent) of made-up images, on the encoder's device."""
    images = made_up_images(TRIED, shape, levels, encoder) / (levels - 1)
    with evaluation_mode(encoder):
        encoded, alone = encoder(images), encoder(images[:1])
    check_alone("encode", encoded[:1], alone)
    return encoded


def check_alone(name: str, among_others: Tensor, alone: Tensor) -> None:
    if not (among_others.isfinite().all() and alone.isfinite().all()):
        raise InputError(f"{name}: returned numbers that are not finite")
    if not torch.allclose(among_others, alone, rtol=1e-3, atol=1e-4):
        raise InputError(
            f"{name}: what it makes of one datum depends on the others in its batch, or is random; "
            "is there a layer in training mode, or one that draws samples?"
        )


def check_likelihood(likelihood: Decoder) -> None:
    if any(True for _ in likelihood.parameters()):
        raise InputError(
            f"likelihood: {type(likelihood).__name__} would have parameters that were not trained "
            "with this model; give a number, optimal, or let decode put them out (decoder)"
        )


def check_no_probabilities(likelihood: Decoder, outputs: Tensor) -> None:
    low, high = outputs.min().item(), outputs.max().item()
    if isinstance(likelihood, Bernoulli) and 0 <= low < high <= 1:
        raise InputError(
            "decode: all outputs lie in [0, 1], as probabilities do, and Bernoulli takes logits: "
            "give lambda z: torch.logit(decode(z), 1e-6)"
        )
