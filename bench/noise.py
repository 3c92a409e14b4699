"""Reproducible noise: a seed for each purpose, and numbers that do not depend on the ranks.

Noise is drawn on the CPU and moved to the model's device, so that every device gets the same
numbers: this is the noise of evaluation, validation, pictures and claims, and the order of the data.
Only what each training step draws, training noise and dynamic binarization, is drawn where the
model is (``on_device``), because a GPU would wait for a CPU that draws it. There a GPU draws other
numbers than a CPU.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

# Evaluation noise is drawn for blocks of this many consecutive data, independently of the batch
# size, the device and the number of ranks. Another size of block would change every estimate.
EVALUATION_BLOCK = 100


def derive_seed(*parts: int | str) -> int:
    """Return a seed in [0, 2^63) that is a function of ``parts`` alone.

    Initialisation, data order, training noise and evaluation of a run each have their own seed,
    derived from the run's seed: ``derive_seed(seed, "order", epoch)``. Hashing makes the streams
    of neighbouring seeds unrelated; adding numbers to a seed would not.
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class Noise:
    """A stream of random numbers for a batch that is split over ``world`` ranks.

    The last dimension but one of every draw is the batch. Each rank draws the numbers of the
    global batch and keeps its own rows, so that all ranks together use the same numbers as one
    rank alone.

    Args:
        seed: What the numbers are a function of.
        device: Where they are used. They are drawn on the CPU and are the same on every device.
        on_device: Draw them on ``device`` instead, as training does. They are then a function of
            the kind of device too: a GPU draws other numbers than a CPU.
        rank: The index of this process among ``world``.
        world: Number of processes that share the batch.

    Examples:
        >>> draw = Noise("seed", 1, "test").normal(2, 5, 3)  # (samples, batch, dimensions)
        >>> bool((draw == Noise("seed", 1, "test").normal(2, 5, 3)).all())
        True
    """

    def __init__(
        self,
        *seed: int | str,
        device: torch.device | str = "cpu",
        on_device: bool = False,
        rank: int = 0,
        world: int = 1,
    ):
        self.device, self.rank, self.world = torch.device(device), rank, world
        self.drawn_on = self.device if on_device else torch.device("cpu")
        self.generator = torch.Generator(self.drawn_on).manual_seed(derive_seed(*seed))
        self.place: dict[str, Any] = {"generator": self.generator, "device": self.drawn_on}

    def restart(self, *seed: int | str) -> None:
        """Go to the start of the stream of another seed, which a new ``Noise`` would have.

        A captured CUDA graph draws from the generator that it was captured with, which is why it
        stays the same object.
        """
        self.generator.manual_seed(derive_seed(*seed))

    def renew(self, state: Tensor) -> None:
        """Draw from another generator from now on, which has the given state."""
        self.generator = torch.Generator(self.drawn_on)
        self.generator.set_state(state)
        self.place["generator"] = self.generator

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers of ``shape`` (..., batch, dimensions)."""
        return self._own_rows(partial(torch.randn, **self.place), shape)

    def uniform(self, *shape: int) -> Tensor:
        """Draw numbers uniform on [0, 1) of ``shape`` (..., batch, dimensions)."""
        return self._own_rows(partial(torch.rand, **self.place), shape)

    def words(self, *shape: int) -> Tensor:
        """Draw int16 numbers of ``shape`` (..., batch, dimensions), all 65,536 equally likely.

        Each 64-bit draw gives four of them, so this takes a quarter of the time of ``uniform``.
        """
        return self._own_rows(self._draw_words, shape)

    def shared_permutation(self, n: int) -> Tensor:
        """Draw a permutation of 0 … n−1, the same on every rank."""
        return self._moved(torch.randperm(n, generator=self.generator, device=self.drawn_on))

    def separate(self) -> "list[Noise]":
        """Return the streams that are computed one by one: this one, unless it joins several."""
        return [self]

    def _draw_words(self, *shape: int) -> Tensor:
        n = prod(shape)
        drawn = torch.empty(-(-n // 4), dtype=torch.int64, device=self.drawn_on)
        drawn.random_(-(2**63), None, generator=self.generator)
        return drawn.view(torch.int16)[:n].view(shape)

    def _own_rows(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        *front, batch, dimensions = shape
        numbers = draw(*front, batch * self.world, dimensions)
        own = numbers.narrow(-2, self.rank * batch, batch) if self.world > 1 else numbers
        return self._moved(own)

    def _moved(self, numbers: Tensor) -> Tensor:
        """Return numbers where they are used. From pinned memory, a copy is not waited for."""
        if self.drawn_on.type == self.device.type:
            return numbers
        if self.device.type == "cuda":
            numbers = numbers.pin_memory()
        return numbers.to(self.device, non_blocking=True)


def cumulative(probabilities: Tensor, dim: int) -> Tensor:
    """Return cumulative sums along ``dim``, taken on the CPU: a GPU's are not reproducible."""
    return probabilities.cpu().cumsum(dim).to(probabilities.device)
