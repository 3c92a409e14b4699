"""Lossless codecs on the test images: what bits/dim are without any learning.

A lossless code of b bytes is a model with −log2 P(y) = 8 b, so that its bits/dim stand in one unit
with those of the leaderboard; a likelihood model that loses to PNG is in trouble.
"""

import io
import lzma
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image, features

from bench.data.tasks import TaskData
from bench.errors import InputError
from bench.records.provenance import commit_label, package_version
from bench.records.row import data_hash

# WebP's own bound on the sides of an image.
WEBP_SIDE = 16_383
# Images whose time tells that of all.
PROBED = 20


@dataclass(frozen=True)
class Codec:
    """A lossless code.

    Attributes:
        encode: From pixels (height, width) or (height, width, 3), uint8, to bytes.
        decode: Back.
        header: Number of bytes of a code that say what format it is and how large the image,
            which a model that knows the task need not send.
        software: What made it.
        tallest: Largest height that it can encode.
    """

    encode: Callable[[np.ndarray], bytes]
    decode: Callable[[bytes, tuple[int, ...]], np.ndarray]
    header: Callable[[bytes], int]
    software: str
    tallest: int | None = None


def pillow_encode(form: str, **options) -> Callable[[np.ndarray], bytes]:
    def encode(pixels: np.ndarray) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, form, **options)
        return stream.getvalue()

    return encode


def pillow_decode(code: bytes, shape: tuple[int, ...]) -> np.ndarray:
    mode = "L" if len(shape) == 2 else "RGB"
    return np.asarray(Image.open(io.BytesIO(code)).convert(mode))


def png_header(code: bytes) -> int:
    """Return all but the compressed stream: signature, chunk frames, IHDR, IEND."""
    position, payload = 8, 0
    while position < len(code):
        length = int.from_bytes(code[position : position + 4], "big")
        payload += length * (code[position + 4 : position + 8] == b"IDAT")
        position += length + 12
    return len(code) - payload


def raw(compress: Callable[[bytes], bytes], expand: Callable[[bytes], bytes]) -> dict:
    return {
        "encode": lambda pixels: compress(pixels.tobytes()),
        "decode": lambda code, shape: np.frombuffer(expand(code), np.uint8).reshape(shape),
        "header": lambda code: 0,  # both are written without any
    }


def lzma_filters(size: int) -> list[dict]:
    """Return LZMA2 at its best. A dictionary beyond the content only takes time to set up."""
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


def codecs() -> dict[str, Codec]:
    """Return every codec. Raises InputError where one is not installed."""
    try:
        import pillow_jxl  # noqa: F401  registers JPEG XL with Pillow
    except ImportError:
        raise InputError(
            "codecs: JPEG XL is not installed; `pip install 'likelihood-bench[codecs]'` brings it"
        ) from None
    if not features.check("webp"):
        raise InputError("codecs: this build of Pillow has no WebP")
    pillow = f"Pillow {package_version('pillow')}"
    return {
        "PNG": Codec(pillow_encode("PNG", optimize=True), pillow_decode, png_header, pillow),
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
            lambda code: 2,  # the signature; its further header is not on byte boundaries
            f"pillow-jxl-plugin {package_version('pillow-jxl-plugin')}",
        ),
        "deflate": Codec(
            **raw(deflate, lambda c: zlib.decompress(c, -15)), software="zlib, level 9"
        ),
        "LZMA": Codec(
            **raw(lzma_encode, lzma_decode),
            software="liblzma, preset 9 extreme",
        ),
    }


def strips(images: np.ndarray, tallest: int | None) -> Iterator[np.ndarray]:
    """Yield all images one below the other, in as few pieces as the codec can take."""
    count = len(images) if tallest is None else max(1, tallest // images.shape[1])
    for start in range(0, len(images), count):
        yield images[start : start + count].reshape(-1, *images.shape[2:])


def measure(codec: Codec, pieces: Iterator[np.ndarray]) -> tuple[int, int]:
    """Return bytes with and without headers of all pieces, each decoded and compared."""
    whole = bare = 0
    for pixels in pieces:
        code = codec.encode(pixels)
        if not np.array_equal(codec.decode(code, pixels.shape), pixels):
            raise RuntimeError(f"{codec.software}: an image came back different")
        whole += len(code)
        bare += len(code) - codec.header(code)
    return whole, bare


def pieces_of(codec: Codec, layout: str, pixels: np.ndarray) -> list[np.ndarray]:
    return list(pixels) if layout == "images" else list(strips(pixels, codec.tallest))


def cost_of(codec: Codec, layout: str, pixels: np.ndarray) -> float:
    """Return the seconds that a few images tell of all."""
    few = pixels[:PROBED]
    started = time.perf_counter()
    measure(codec, iter(pieces_of(codec, layout, few)))
    return (time.perf_counter() - started) * len(pixels) / len(few)


def told(pieces: list, tell: Callable[[float], None]) -> Iterator:
    """Yield the pieces, telling what share of them is done."""
    for number, piece in enumerate(pieces):
        tell(number / len(pieces))
        yield piece


def codec_rows(
    data: TaskData, described: dict, report: Callable[[str, float, str], None]
) -> pd.DataFrame:
    """Return a row for each codec, layout and count of headers, on a task's test split.

    Args:
        data: A task of 8-bit images.
        described: The task's hashes, as records hold them.
        report: Is told what is being measured, and how far it is.

    Returns:
        Columns task, codec, layout (images: each by itself; strip: one below the other), headers
        (with, without), bytes, bits_per_dim, n, software, commit, data_sha256.

    Raises:
        InputError: The task's images are not of 8 bits.
    """
    if data.task.levels != 256:
        raise InputError(
            f"codecs: {data.task.name} has {data.task.levels} levels, codecs are for 256"
        )
    channels, height, width = data.shape
    pixels = data.test.numpy().reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    pixels = np.ascontiguousarray(pixels[..., 0] if channels == 1 else pixels)
    todo = [(name, layout) for name in codecs() for layout in ("images", "strip")]
    costs = [cost_of(codecs()[name], layout, pixels) for name, layout in todo]
    rows = []
    for number, (name, layout) in enumerate(todo):
        codec, before, own = codecs()[name], sum(costs[:number]), costs[number]
        tell = lambda share, before=before, own=own, what=f"{name}, {layout}": report(
            data.task.name, (before + own * share) / sum(costs), what
        )
        pieces = told(pieces_of(codec, layout, pixels), tell)
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
