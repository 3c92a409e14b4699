"""Lossless codecs on the test images: the bits/dim that a code reaches without learning.

A lossless code of b bytes is a model with −log2 P(y) = 8 b, so its bits/dim compare with those of
the leaderboard; a likelihood model that loses to PNG is in trouble. The code that a trained VAE gives
is in ``bits_back``.
"""

import io
import lzma
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import TypedDict

import numpy as np
import pandas as pd
from PIL import Image, features

from bench.data.tasks import TaskData
from bench.errors import InputError
from bench.instruments.progress import PartProgress, split_progress
from bench.records.provenance import commit_label, package_version
from bench.records.row import data_hash
from bench.records.types import DataRecord

# The largest side of an image that WebP can encode.
WEBP_SIDE = 16_383
# Images that are encoded to estimate the time of all.
PROBED = 20


@dataclass(frozen=True)
class Codec:
    """A lossless code.

    Attributes:
        encode: From pixels (height, width) or (height, width, 3), uint8, to bytes. Of binary images
            they are 0 and 255.
        decode: Back, given the shape.
        header: Number of bytes of a code that state its format and the image's size, which a model
            that knows the task need not send.
        software: The library that implements it.
        tallest: Largest height that it can encode; None is unlimited.
    """

    encode: Callable[[np.ndarray], bytes]
    decode: Callable[[bytes, tuple[int, ...]], np.ndarray]
    header: Callable[[bytes], int]
    software: str
    tallest: int | None = None


class CodecRow(TypedDict):
    """A row of codecs.csv.

    Attributes:
        task: The task's name.
        codec: The codec's name.
        layout: images: each by itself; strip: one below the other; chain: one after the other, on
            one stack of bits.
        headers: Whether the headers count: with or without. Of a chain, the start-up bits too.
        bytes: Size of all codes.
        bits_per_dim: The same in bits per pixel and channel.
        n: Number of images.
        software: The library that implements the codec.
        commit: Commit of the benchmark.
        data_sha256: Hash of the task's data.
    """

    task: str
    codec: str
    layout: str
    headers: str
    bytes: int
    bits_per_dim: float
    n: int
    software: str
    commit: str | None
    data_sha256: str


def pillow_encode(
    form: str, mode: str | None = None, **options: int
) -> Callable[[np.ndarray], bytes]:
    """Return the function that encodes pixels in a format of Pillow, in another of its modes if given."""

    def encode(pixels: np.ndarray) -> bytes:
        stream, image = io.BytesIO(), Image.fromarray(pixels)
        image = image if mode is None else image.convert(mode)
        image.save(stream, form, **options)
        return stream.getvalue()

    return encode


def pillow_decode(code: bytes, shape: tuple[int, ...]) -> np.ndarray:
    mode = "L" if len(shape) == 2 else "RGB"
    return np.asarray(Image.open(io.BytesIO(code)).convert(mode))


def png_header(code: bytes) -> int:
    """Return the size of all but the compressed stream: signature, chunk frames, IHDR, IEND."""
    position, payload = 8, 0
    while position < len(code):
        length = int.from_bytes(code[position : position + 4], "big")
        payload += length * (code[position + 4 : position + 8] == b"IDAT")
        position += length + 12
    return len(code) - payload


def raw_codec(
    compress: Callable[[bytes], bytes], expand: Callable[[bytes], bytes], software: str, levels: int
) -> Codec:
    """Return the codec of a general compressor of bytes, which writes no header.

    It gets a byte for each pixel and channel, or of binary images a byte for eight pixels.
    """
    if levels == 2:
        encode = lambda pixels: compress(np.packbits(pixels > 0).tobytes())
        unpack = lambda content, n: 255 * np.unpackbits(content, count=n)
    else:
        encode = lambda pixels: compress(pixels.tobytes())
        unpack = lambda content, n: content

    def decode(code: bytes, shape: tuple[int, ...]) -> np.ndarray:
        return unpack(np.frombuffer(expand(code), np.uint8), prod(shape)).reshape(shape)

    return Codec(encode, decode, header=lambda code: 0, software=software)


def lzma_filters(size: int) -> list[dict[str, int]]:
    """Return LZMA2 at its best for content of this size; a larger dictionary only takes time."""
    dictionary = max(4096, min(1 << max(size - 1, 1).bit_length(), 1 << 28))
    preset = 9 | lzma.PRESET_EXTREME
    return [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": dictionary}]


def lzma_encode(content: bytes) -> bytes:
    return lzma.compress(content, lzma.FORMAT_RAW, filters=lzma_filters(len(content)))


def lzma_decode(code: bytes) -> bytes:
    return lzma.decompress(code, lzma.FORMAT_RAW, filters=lzma_filters(1 << 28))


def deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return packer.compress(content) + packer.flush()


def codecs(levels: int = 256) -> dict[str, Codec]:
    """Return every codec for images of 256 or 2 levels. Raises InputError where one is not installed."""
    try:
        import pillow_jxl  # noqa: F401  registers JPEG XL with Pillow
    except ImportError:
        raise InputError(
            "codecs: JPEG XL is not installed; `pip install 'likelihood-bench[codecs]'` installs it"
        ) from None
    if not features.check("webp"):
        raise InputError("codecs: this build of Pillow has no WebP")
    pillow = f"Pillow {package_version('pillow')}"
    return {
        "PNG": Codec(
            pillow_encode("PNG", "1" if levels == 2 else None, optimize=True),
            pillow_decode,
            png_header,
            pillow,
        ),
        "WebP lossless": Codec(
            pillow_encode("WEBP", lossless=True, quality=100, method=6),
            pillow_decode,
            lambda code: 25,  # RIFF and chunk headers, and VP8L's signature and size
            f"{pillow}, libwebp {features.version('webp')}",
            WEBP_SIDE,
        ),
        "JPEG XL lossless": Codec(
            pillow_encode("JXL", lossless=True, effort=9),
            pillow_decode,
            lambda code: 2,  # the signature; the rest of the header ends within a byte
            f"pillow-jxl-plugin {package_version('pillow-jxl-plugin')}",
        ),
        "deflate": raw_codec(
            deflate, lambda code: zlib.decompress(code, -15), "zlib, level 9", levels
        ),
        "LZMA": raw_codec(lzma_encode, lzma_decode, "liblzma, preset 9 extreme", levels),
    }


def strips(images: np.ndarray, tallest: int | None) -> Iterator[np.ndarray]:
    """Yield all images one below the other, in as few strips as the codec can encode."""
    count = len(images) if tallest is None else max(1, tallest // images.shape[1])
    for start in range(0, len(images), count):
        yield images[start : start + count].reshape(-1, *images.shape[2:])


def measure(codec: Codec, pieces: Iterable[np.ndarray]) -> tuple[int, int]:
    """Return the bytes of all pieces with and without headers. Decodes and compares each."""
    whole = bare = 0
    for pixels in pieces:
        code = codec.encode(pixels)
        if not np.array_equal(codec.decode(code, pixels.shape), pixels):
            raise RuntimeError(f"{codec.software}: the decoded image differs from the original")
        whole += len(code)
        bare += len(code) - codec.header(code)
    return whole, bare


def pieces_of(codec: Codec, layout: str, pixels: np.ndarray) -> list[np.ndarray]:
    return list(pixels) if layout == "images" else list(strips(pixels, codec.tallest))


def expected_seconds(codec: Codec, layout: str, pixels: np.ndarray) -> float:
    """Return the time of all images, extrapolated from a few."""
    few = pixels[:PROBED]
    started = time.perf_counter()
    measure(codec, pieces_of(codec, layout, few))
    return (time.perf_counter() - started) * len(pixels) / len(few)


def with_progress(
    pieces: list[np.ndarray], progress: PartProgress, text: str
) -> Iterator[np.ndarray]:
    """Yield the pieces and call ``progress`` before each."""
    for number, piece in enumerate(pieces):
        progress(number / len(pieces), text)
        yield piece


def pixels_of(data: TaskData) -> np.ndarray:
    """Return the test images, (n, height, width) or (n, height, width, channels), 0 or 255 if binary."""
    channels, height, width = data.shape
    pixels = data.test.numpy().reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    pixels = pixels * np.uint8(255) if data.task.levels == 2 else pixels
    return np.ascontiguousarray(pixels[..., 0] if channels == 1 else pixels)


def codec_rows(data: TaskData, described: DataRecord, progress: PartProgress) -> pd.DataFrame:
    """Return a row for each codec, layout and count of headers, on a task's test split.

    Args:
        data: A task of 8-bit or binary images.
        described: The task's hashes, as records hold them.
        progress: Called with the share done and what is being measured.

    Returns:
        The columns of ``CodecRow``.

    Raises:
        InputError: The task's images have neither 256 levels nor 2.
    """
    levels = data.task.levels
    if levels not in (2, 256):
        raise InputError(f"codecs: {data.task.name} has {levels} levels, codecs are for 256 and 2")
    pixels, known = pixels_of(data), codecs(levels)
    cases = [(name, layout) for name in known for layout in ("images", "strip")]
    weights = [expected_seconds(known[name], layout, pixels) for name, layout in cases]
    parts = split_progress(progress, weights)
    rows: list[CodecRow] = []
    for (name, layout), part in zip(cases, parts):
        codec = known[name]
        pieces = with_progress(pieces_of(codec, layout, pixels), part, f"{name}, {layout}")
        for headers, size in zip(("with", "without"), measure(codec, pieces)):
            rows.append(
                {
                    "task": data.task.name,
                    "codec": name,
                    "layout": layout,
                    "headers": headers,
                    "bytes": size,
                    "bits_per_dim": 8 * size / pixels.size,
                    "n": len(pixels),
                    "software": codec.software,
                    "commit": commit_label(),
                    "data_sha256": data_hash(described),
                }
            )
    return pd.DataFrame(rows)
