"""Draws of importance weights: which noise belongs to a draw, and how many are computed at once.

Noise is drawn ten samples at a time, for blocks of 100 data: that is part of the definition of a
number. How many of those draws a model computes at once is not. On a CPU it is what the model says,
which decodes each by itself, because its thousand rows fit into the cache. On a GPU it is as many as
its memory allows, up to a limit.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.noise import Noise
from bench.system.devices import usable_gpu_memory

# Samples per datum whose noise is drawn at once: with blocks of 100 data, 1000 rows to decode.
# It is part of the definition of a number, like the block of data.
SAMPLES_PER_DRAW = 10
# Rows of a batch beyond which a GPU gains nothing, and the share of its free memory that is used.
MOST_ROWS, SHARE_OF_MEMORY = 2**16, 0.5
# (noise, samples) → log-weights (samples, batch), in nats.
LogWeights = Callable[[Noise, int], Tensor]


class JoinedNoise(Noise):
    """The noise of several draws, one after the other, as one stream of noise for all of them.

    The first dimension of every shape counts samples, or samples × data; each draw gives its part of it.
    """

    def __init__(self, draws: list[Noise]) -> None:
        # Without a generator: what draws from one by itself fails instead of drawing other numbers.
        self.draws, self.device, self.rank, self.world = draws, draws[0].device, 0, 1

    def normal(self, *shape: int) -> Tensor:
        return torch.cat([draw.normal(*self._part(shape)) for draw in self.draws])

    def uniform(self, *shape: int) -> Tensor:
        return torch.cat([draw.uniform(*self._part(shape)) for draw in self.draws])

    def words(self, *shape: int) -> Tensor:
        return torch.cat([draw.words(*self._part(shape)) for draw in self.draws])

    def separate(self) -> list[Noise]:
        """Return the draws on a CPU, which is fastest with one at a time; on a GPU this, the whole."""
        return self.draws if self.device.type == "cpu" else [self]

    def shared_permutation(self, n: int) -> Tensor:
        raise ValueError("noise: draws that are computed at once share no permutation")

    def _part(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        count, rest = divmod(shape[0], len(self.draws))
        if rest or count % SAMPLES_PER_DRAW:
            raise ValueError(f"noise: a shape {shape} does not begin with the samples of all draws")
        return count, *shape[1:]


def drawn_weights(
    log_weights: LogWeights,
    samples: int,
    device: torch.device,
    noise_key: tuple[int | str, ...],
    may_join: bool = False,
    on_cpu: int = 1,
) -> Tensor:
    """Return K log-weights of each datum (K, batch).

    Args:
        log_weights: The weights for some noise.
        samples: K.
        device: Where they are computed.
        noise_key: What the noise is a function of.
        may_join: Several draws may be computed at once, because all shapes of noise begin with the
            number of samples.
        on_cpu: How many draws are computed at once on a CPU.
    """
    draws = -(-samples // SAMPLES_PER_DRAW)
    noise_of = lambda draw: Noise(*noise_key, draw, device=device)
    at_once = on_cpu if device.type == "cpu" else 1
    parts: list[Tensor] = []
    done = 0
    while done < draws:
        own = [noise_of(draw) for draw in range(done, min(done + at_once, draws))]
        noise = own[0] if len(own) == 1 else JoinedNoise(own)
        measured = may_join and device.type == "cuda" and done == 0
        if measured:
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
        parts.append(log_weights(noise, SAMPLES_PER_DRAW * len(own)))
        if measured:
            needed = torch.cuda.max_memory_allocated(device) - before
            at_once = draws_at_once(parts[0].numel(), needed, usable_gpu_memory(device))
        done += len(own)
    # Cut after drawing, so that a smaller K uses a prefix of the same noise.
    return torch.cat(parts)[:samples]


def draws_at_once(rows: int, needed: int, usable: int) -> int:
    """Return how many draws a GPU computes at once, at least one.

    Args:
        rows: Rows to decode of one draw.
        needed: Bytes that one draw was seen to need.
        usable: Bytes that the run may still take of the GPU.
    """
    by_memory = int(SHARE_OF_MEMORY * usable) // max(needed, 1)
    return max(1, min(MOST_ROWS // rows, by_memory))
