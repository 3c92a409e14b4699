"""Files of raw data, of which nothing but the length of their payload is trusted beforehand."""

import io
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from bench.system.files import regular_file, size_of

# What zlib calls a member of gzip, with its header and its checksum.
GZIP = 31
BLOCK = 2**16
# Programs that compress in blocks make one of each 64 KiB.
MOST_MEMBERS = 1000


def read_payload(path: Path, size: int, compressed: bool) -> bytes:
    """Read a file whose payload is ``size`` bytes long, and no more of it than that.

    Args:
        path: The file.
        size: Length of its payload in bytes.
        compressed: It is compressed by gzip.

    Raises:
        OSError: It is no regular file, damaged, or its payload is longer or shorter.
    """
    with regular_file(path) as file:
        # Deflate adds at most 5 bytes to each 16 KiB; the rest is for the header.
        most = size + size // 1000 + 1000 if compressed else size
        if size_of(file) > most:
            raise OSError(f"it is {size_of(file):,} bytes long, and has {size:,} at most")
        return of_size(unpacked(file, size + 1) if compressed else file.read(size + 1), size)


def of_size(payload: bytes, size: int) -> bytes:
    """Return a payload of ``size`` bytes. Raises OSError if it is longer or shorter."""
    if len(payload) != size:
        length = "longer" if len(payload) > size else f"only {len(payload):,} bytes"
        raise OSError(f"its payload is {length}, and should be {size:,} bytes")
    return payload


def unpacked(file: BinaryIO, most: int) -> bytes:
    """Return the first ``most`` bytes that a gzip file holds.

    Unlike ``gzip``, which reads a header byte by byte, it takes no longer for a strange file.

    Raises:
        OSError: It is truncated or damaged, or of more members than any program makes of it.
    """
    payload, left = bytearray(), b""
    for _ in range(MOST_MEMBERS):
        # Members may be padded with zeros.
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
                raise OSError("it ends too early")
    raise OSError(f"it is of more than {MOST_MEMBERS} gzip members")


def members_of(archive: bytes, sizes: dict[str, int]) -> dict[str, bytes]:
    """Return files of a tar archive that is compressed by gzip, whatever their folder in it.

    Args:
        archive: The archive's content, which is known to be the published one.
        sizes: {name of a file: its length in bytes}.
    """
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            name = PurePosixPath(member.name).name
            if member.isreg() and name in sizes:
                payload = tar.extractfile(member).read(sizes[name] + 1)
                found[name] = of_size(payload, sizes[name])
    return {name: found[name] for name in sizes}
