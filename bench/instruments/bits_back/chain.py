"""Bits back with asymmetric numeral systems: lossless compression by a VAE (Townsend et al. 2019).

For each image, z is *popped* from the stack under q(z|y): bits that are there already choose it. Then
y is pushed under P(y|z), and z under p(z). The stack grows by −log P(y|z) − log p(z) + log q(z|y),
which is −ELBO in expectation. The decoder undoes each step and gets back the bits that chose z.

**Clean bits.** The bits on top are those of the z before: popped as they are, they would draw z from
something else than q(z|y) wherever posteriors differ from the prior. So they are combined first, by
exclusive or, with random bits that both sides know, and are then independent of everything.

**The same floats on both sides.** A decoder needs every probability to the last bit. Therefore each
image passes the networks by itself, in a tensor of its own, on one thread of the CPU; probabilities
are computed from that in float64, and rounded to integers before the coder sees them. So nothing
depends on other images, on their order or on the number of threads. Another machine or another
version of a library may compute other floats. The decoder notices: the bits that the stack began with
are known, and they have to be left at the end.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.densities.decoders import Gaussian
from bench.densities.posteriors import NormalPosterior
from bench.errors import InputError
from bench.estimators.evidence import check_evaluation_mode
from bench.instruments.bits_back.distributions import (
    CODED_DECODERS,
    doubled,
    pixel_probabilities,
    prior_code,
)
from bench.instruments.bits_back.stack import (
    PRECISION,
    BitStack,
    CumulativeFunction,
    Symbols,
    Words,
    pop_in_halves,
    push_in_halves,
)
from bench.models.terms import Model
from bench.models.vae import VAE
from bench.noise import Noise, derive_seed

# 2^20 bins are narrower than float32 resolves.
MOST_LATENT_BITS = 20
# Bits below what one image takes at most. The chance that more are needed is 2^−128: the chance that
# the stack ever shrinks by t bits is at most 2^−t, because E_q[p(y, z) / q(z|y)] is at most 1.
SPARE_BITS = 128


@dataclass(frozen=True)
class Message:
    """Compressed images.

    Attributes:
        words: What is sent.
        images: The number of images in it.
        start_up_bits: Bits of it that had to be there before the first image. A receiver gets them
            back, so that they can be another message.
        bits: All bits of it, start-up bits included.
    """

    words: Words
    images: int
    start_up_bits: int
    bits: int

    @property
    def net_bits(self) -> int:
        """How many bits the images have added to the stack."""
        return self.bits - self.start_up_bits


class BitsBack:
    """Compresses images by a trained VAE.

    Args:
        model: A VAE in evaluation mode, on the CPU, attached to its training images, whose q(z|y) is a
            diagonal normal, whose decoder gives probabilities of levels, and whose prior is N(0, I) or
            a mixture of normals.
        latent_bits: Logarithm of the number of bins of each dimension of z. More bins approximate
            q(z|y) better, and need as many more start-up bits.

    Raises:
        InputError: The model cannot be coded, or ``latent_bits`` is out of range.
    """

    def __init__(self, model: Model, latent_bits: int = 16):
        if not 1 <= latent_bits <= MOST_LATENT_BITS:
            raise InputError(
                f"bits-back: latent_bits is {latent_bits}, and must be from 1 to {MOST_LATENT_BITS}"
            )
        self.model = codable(model)
        check_evaluation_mode(model)
        with torch.no_grad(), one_thread():
            density = self.model.prior_density(Noise("bits-back"), None)
            self.prior = prior_code(density, self.model.latent_dimensions, latent_bits)
        self.latent_bits, self.bins = latent_bits, self.prior.bins
        self.pixel_bits = (self.model.levels - 1).bit_length()

    @torch.no_grad()
    def compress(
        self, images: Tensor, progress: Callable[[float], None] = lambda share: None
    ) -> Message:
        """Return all images, uint8 (n, D), in one message.

        Raises:
            InputError: Pixels that the model has no level for, or images of another size.
        """
        self._check(images)
        stack = BitStack(self._start_up_words(), sealed=True)
        before = stack.bits
        with one_thread():
            # From the last to the first, so that the decoder finds the first on top.
            for number in reversed(range(len(images))):
                progress(1 - (number + 1) / len(images))
                self._push_image(stack, images[number], number)
        # Words that nothing has reached were never needed.
        unused = stack.lowest
        start_up_bits = before - 32 * unused
        return Message(stack.words()[unused:], len(images), start_up_bits, stack.bits - 32 * unused)

    @torch.no_grad()
    def decompress(
        self, message: Message, progress: Callable[[float], None] = lambda share: None
    ) -> Tensor:
        """Return the images, uint8 (n, D).

        Raises:
            InputError: The message is not of this model, or this machine computes other floats.
        """
        images = torch.empty((message.images, self.model.decoder.dimensions), dtype=torch.uint8)
        try:
            stack = BitStack(message.words)
            with one_thread():
                for number in range(message.images):
                    progress(number / message.images)
                    images[number] = self._pop_image(stack, number)
            left = stack.words(unsealed=True)
        except ValueError:
            left = np.empty(0, np.uint32)
        if not len(left) or not np.array_equal(left, self._start_up_words()[-len(left) :]):
            raise InputError(
                "bits-back: the start-up bits are not what is left of the message, so its images "
                "are wrong: it is of another model, or of a machine that computes other floats"
            )
        return images

    def posterior(self, y: Tensor) -> CumulativeFunction:
        """Return the mass of q(z|y) below edges of bins, for one image (D,)."""
        # A copy has the alignment in memory that PyTorch gives all tensors, on which sums may depend.
        q = self.model.posterior(y.clone()[None])
        return self.bins.below(doubled(q.loc)[0], np.exp(doubled(q.log_scale)[0]))

    def likelihood(self, index: Symbols) -> CumulativeFunction:
        """Return P(pixel < level | z) for the z of bins (latent,)."""
        z = torch.tensor(self.bins.medians(index), dtype=torch.float32)
        outputs = self.model.decode(z[None])[0]
        return pixel_probabilities(self.model.decoder, outputs, self.model.levels)

    def _push_image(self, stack: BitStack, y: Tensor, number: int) -> None:
        q = self.posterior(y)
        self._clean(stack, number)
        index = pop_in_halves(stack, self.model.latent_dimensions, q, self.latent_bits)
        push_in_halves(stack, y.long().numpy(), self.likelihood(index), self.pixel_bits)
        self.prior.push(stack, index)

    def _pop_image(self, stack: BitStack, number: int) -> Tensor:
        index = self.prior.pop(stack)
        dimensions = self.model.decoder.dimensions
        levels = pop_in_halves(stack, dimensions, self.likelihood(index), self.pixel_bits)
        y = torch.from_numpy(levels).to(torch.uint8)
        push_in_halves(stack, index, self.posterior(y), self.latent_bits)
        self._clean(stack, number)
        return y

    def _clean(self, stack: BitStack, number: int) -> None:
        """Make the bits on top independent of what they were; doing it again undoes it."""
        bits = stack.pop_uniform(self.model.latent_dimensions, self.latent_bits)
        random = random_words(len(bits), number) >> np.uint32(32 - self.latent_bits)
        stack.push_uniform(bits ^ random, self.latent_bits)

    def _start_up_words(self) -> Words:
        """Return random bits, as many as one image may take and some to spare."""
        symbols = 2 * self.model.latent_dimensions + 1  # two halves each, and a component
        return random_words(-(-(symbols * PRECISION + SPARE_BITS) // 32), "start-up")

    def _check(self, images: Tensor) -> None:
        dimensions, levels = self.model.decoder.dimensions, self.model.levels
        if images.dim() != 2 or images.shape[1] != dimensions or not len(images):
            raise InputError(
                f"bits-back: images of shape {tuple(images.shape)}; (n, {dimensions}) is needed"
            )
        if images.dtype != torch.uint8 or int(images.max()) >= levels:
            raise InputError(
                f"bits-back: images must be uint8 with values below {levels}, the model's levels"
            )


def codable(model: Model) -> VAE:
    """Return the model if bits-back coding is possible. Raises InputError if it is not."""
    if not isinstance(model, VAE):
        raise InputError(
            f"bits-back: {type(model).__name__} is no VAE: z is coded by q(z|y) and p(z), which it lacks"
        )
    if not isinstance(model.posterior, NormalPosterior):
        raise InputError(
            f"bits-back: a {type(model.posterior).__name__} has no code: bins of z are coded by a q(z|y) "
            "with independent dimensions"
        )
    if isinstance(model.decoder, Gaussian):
        raise InputError(
            "bits-back: a Gaussian decoder has densities and no probabilities of levels to code with; "
            "take DiscretizedGaussian"
        )
    if not isinstance(model.decoder, CODED_DECODERS):
        raise InputError(f"bits-back: the levels of {model.decoder_name} have no code")
    return model


def random_words(count: int, name: int | str) -> Words:
    """Return random bits that are a function of ``name`` alone, the same in all versions of NumPy."""
    random = np.random.Philox(key=derive_seed("bits-back", name))
    return random.random_raw(-(-count // 2)).astype("<u8").view("<u4")[:count].astype(np.uint32)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: how sums are split among several changes their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
