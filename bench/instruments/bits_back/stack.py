"""A stack of bits: asymmetric numeral systems (Duda 2009) over integer frequencies.

Popping a symbol of frequency f takes log₂(2²⁴ / f) bits from the stack, and pushing it puts them back,
exactly. The coder is that of `constriction` (Bamler 2022). It never sees a probability: distributions
become integers here first, so that encoder and decoder cannot round them differently.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError

Words = NDArray[np.uint32]
Symbols = NDArray[np.int64]
Floats = NDArray[np.float64]
# Frequencies of all symbols sum to 2 ** PRECISION, which is fixed in the coder.
PRECISION = 24
# Positions (rows, columns) of bins' edges, from 0 for the lowest, to the probability below each.
CumulativeFunction = Callable[[Symbols], Floats]
# Symbols of more bits than this are coded in two halves.
WHOLE = 4


def coder_library() -> Any:
    """Return `constriction`. Raises InputError where it is not installed."""
    try:
        import constriction
    except ImportError:
        raise InputError(
            "codecs: constriction is not installed; `pip install 'likelihood-bench[codecs]'` installs it"
        ) from None
    return constriction


def frequencies(cumulative: Floats) -> Symbols:
    """Return integers of at least 1 in the proportions of probabilities, with the sum 2 ** PRECISION.

    Args:
        cumulative: For each row a distribution over n symbols, (rows, n + 1): the probability below
            each symbol, and below the last edge. Rounding may have made it decrease slightly, and
            its ends are taken for 0 and 1.

    Returns:
        Frequencies (rows, n). A symbol without probability gets frequency 1, so that every symbol
        can be coded.

    Raises:
        InputError: A probability is not a number.
    """
    if not np.isfinite(cumulative).all():
        raise InputError("bits-back: the model's probabilities are not all finite")
    free = 2**PRECISION - (cumulative.shape[1] - 1)
    below = np.maximum.accumulate(np.clip(cumulative, 0, 1), axis=1)
    below[:, 0], below[:, -1] = 0, 1
    return np.diff(np.floor(below * free).astype(np.int64), axis=1) + 1


class BitStack:
    """Bits to which symbols are pushed and from which symbols are popped, last in, first out.

    Args:
        words: What is on the stack.
        sealed: Whether any bits may stand at its top. Otherwise the last word must not be 0, as it
            never is in what ``words`` returns.

    Raises:
        ValueError: The last word is 0, and ``sealed`` is false.
    """

    def __init__(self, words: Words, sealed: bool = False):
        library = coder_library().stream
        self.coder = library.stack.AnsCoder(words, seal=sealed)
        self.family = library.model.Categorical(perfect=False)
        self.uniform = library.model.Uniform
        # The fewest whole words below the coder's state at any time so far.
        self.lowest: int = self.coder.pos()[0]

    @property
    def bits(self) -> int:
        """The number of bits on the stack."""
        count: int = self.coder.num_valid_bits()
        return count

    def words(self, unsealed: bool = False) -> Words:
        """Return what is on the stack; raises ValueError if it cannot be what ``sealed`` began with."""
        try:
            content: Words = self.coder.get_compressed(unseal=unsealed)
        except AssertionError as error:
            raise ValueError(str(error)) from None
        return content

    def push(self, symbols: Symbols, cumulative: Floats) -> None:
        """Push a symbol for each row of ``cumulative``; see ``frequencies``."""
        self.coder.encode_reverse(symbols.astype(np.int32), self.family, weights(cumulative))

    def pop(self, cumulative: Floats) -> Symbols:
        """Pop a symbol for each row of ``cumulative``: what ``push`` with the same rows has pushed."""
        return self._popped(self.coder.decode(self.family, weights(cumulative)))

    def push_uniform(self, symbols: Symbols, bits: int) -> None:
        """Push symbols of ``bits`` bits each, all equally probable."""
        self.coder.encode_reverse(symbols.astype(np.int32), self.uniform(2**bits))

    def pop_uniform(self, count: int, bits: int) -> Symbols:
        """Pop ``count`` symbols of ``bits`` bits each, all equally probable."""
        return self._popped(self.coder.decode(self.uniform(2**bits), count))

    def _popped(self, symbols: NDArray[np.int32]) -> Symbols:
        self.lowest = min(self.lowest, self.coder.pos()[0])
        return symbols.astype(np.int64)


def weights(cumulative: Floats) -> Floats:
    """Return what makes the coder use ``frequencies``.

    It gives each of n symbols frequency 1, and the remaining 2²⁴ − n in proportion to the weights.
    These weights sum to 2²⁴ − n, so the proportion is exactly 1.
    """
    return (frequencies(cumulative) - 1).astype(np.float64)


def push_in_halves(stack: BitStack, symbols: Symbols, below: CumulativeFunction, bits: int) -> None:
    """Push symbols of ``bits`` bits, one for each row of ``below``.

    A symbol is its leading bits, and then its other bits given those. This takes the probabilities of
    2 · 2^(bits/2) edges, where all at once would take those of 2^bits.
    """
    leading = symbols >> low_bits(bits)
    if low_bits(bits):
        stack.push(symbols - (leading << low_bits(bits)), within(below, leading, bits))
    stack.push(leading, of_leading(below, len(symbols), bits))


def pop_in_halves(stack: BitStack, rows: int, below: CumulativeFunction, bits: int) -> Symbols:
    """Pop what ``push_in_halves`` with the same ``below`` has pushed."""
    leading = stack.pop(of_leading(below, rows, bits))
    if not low_bits(bits):
        return leading
    return (leading << low_bits(bits)) + stack.pop(within(below, leading, bits))


def low_bits(bits: int) -> int:
    return bits // 2 if bits > WHOLE else 0


def of_leading(below: CumulativeFunction, rows: int, bits: int) -> Floats:
    """Return the cumulative probabilities of leading bits, (rows, 2^leading + 1)."""
    edges = np.arange(2 ** (bits - low_bits(bits)) + 1) << low_bits(bits)
    return below(np.broadcast_to(edges, (rows, len(edges))))


def within(below: CumulativeFunction, leading: Symbols, bits: int) -> Floats:
    """Return the cumulative probabilities of the other bits given the leading ones."""
    first = leading[:, None] << low_bits(bits)
    edges = below(first + np.arange(2 ** low_bits(bits) + 1))
    mass = edges[:, -1:] - edges[:, :1]
    return (edges - edges[:, :1]) / np.where(mass > 0, mass, 1)
