"""Reading of raw data files. Only the length of their payload is known beforehand."""

import io
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from bench.system.files import regular_file, size_of

# zlib's wbits of a gzip member with header and checksum.
GZIP = 31
BLOCK = 2**16
# Programs that compress in blocks write a member per 64 KiB.
MOST_MEMBERS = 1000


def read_payload(path: Path, size: int, compressed: bool) -> bytes:
    """Read a file whose payload is ``size`` bytes long, without reading more than that.

    Args:
        path: The file.
        size: Length of its payload in bytes.
        compressed: Whether it is compressed by gzip.

    Raises:
        OSError: It is not a regular file, it is damaged, or its payload has another length.
    """
    with regular_file(path) as file:
        # Deflate adds at most 5 bytes per 16 KiB; the constant is for the header.
        most = size + size // 1000 + 1000 if compressed else size
        if size_of(file) > most:
            raise OSError(f"it is {size_of(file):,} bytes long, more than {size:,} bytes can take")
        return checked_size(unpacked(file, size + 1) if compressed else file.read(size + 1), size)


def checked_size(payload: bytes, size: int) -> bytes:
    """Return the payload. Raises OSError unless it is ``size`` bytes long."""
    if len(payload) != size:
        length = "longer" if len(payload) > size else f"only {len(payload):,} bytes"
        raise OSError(f"its payload is {length}, but should be {size:,} bytes")
    return payload


def unpacked(file: BinaryIO, most: int) -> bytes:
    """Return the first ``most`` bytes of a gzip file's content.

    Python's ``gzip`` reads headers byte by byte, so a malicious file can take it very long.

    Raises:
        OSError: It is truncated or damaged, or has more members than any program writes.
    """
    payload, left = bytearray(), b""
    for _ in range(MOST_MEMBERS):
        # Zeros may follow a member as padding.
        while not (left := left.lstrip(b"\0")):
            left = file.read(BLOCK)
            if not left:
                return bytes(payload)
        member = zlib.decompressobj(GZIP)
        while not member.eof:
            try:
                payload += member.decompress(left, most - len(payload))
            except zlib.error as error:
                raise OSError(str(error)) from None
            if len(payload) == most:
                return bytes(payload)
            left = member.unused_data if member.eof else member.unconsumed_tail or file.read(BLOCK)
            if not left and not member.eof:
                raise OSError("it is truncated")
    raise OSError(f"it has more than {MOST_MEMBERS} gzip members")


def members_of(archive: bytes, sizes: dict[str, int]) -> dict[str, bytes]:
    """Return {name: content} of files in a gzip-compressed tar archive, from any folder in it.

    Args:
        archive: The archive's content, which has the published hash.
        sizes: {name of a file: its length in bytes}.
    """
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            name = PurePosixPath(member.name).name
            file = tar.extractfile(member) if member.isreg() else None
            if file is not None and name in sizes:
                found[name] = checked_size(file.read(sizes[name] + 1), sizes[name])
    return {name: found[name] for name in sizes}


def pixels_of_text(text: bytes) -> bytes:
    """Return the pixels of an .amat file, one byte each: a digit and a blank for every pixel.

    Nothing is checked: other text gives pixels with another hash.
    """
    return ((np.frombuffer(text, np.uint8)[::2] - ord("0")).astype(np.uint8)).tobytes()


def pixels_of_npz(path: Path, sizes: dict[str, int]) -> dict[str, bytes]:
    """Return {array: binary pixels, one byte each} of an .npz file of arrays of 8 pixels a byte.

    An .npy file ends with the bytes of its array; which array it is follows from their hash.

    Args:
        path: The file.
        sizes: {name of an array: its number of pixels}.

    Raises:
        OSError: It is not a regular file, it is longer than the arrays and their headers, it is
            damaged, or it lacks an array.
    """
    # The header of an .npy file, and the zip file's own bytes for each member, are shorter.
    header = 1000
    most = sum(size // 8 + header for size in sizes.values())
    found = {}
    with regular_file(path) as file:
        if size_of(file) > most:
            raise OSError(f"it is {size_of(file):,} bytes long, more than {most:,} bytes")
        try:
            with zipfile.ZipFile(file) as archive:
                for name, size in sizes.items():
                    with archive.open(f"{name}.npy") as member:
                        content = member.read(size // 8 + header)
                    packed = np.frombuffer(content[-(size // 8) :], np.uint8)
                    found[name] = np.unpackbits(packed).tobytes()
        # Not a zip file, no such member, a cut or damaged one, an encrypted one, another method.
        except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, RuntimeError) as error:
            raise OSError(f"it is no .npz file of {', '.join(sizes)}: {error}") from None
    return found
