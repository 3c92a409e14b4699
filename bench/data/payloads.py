"""Files of raw data, of which nothing but the length of their payload is trusted beforehand."""

import gzip
import io
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from bench.files import regular_file, size_of


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
        return exactly(gzip.GzipFile(fileobj=file) if compressed else file, size)


def exactly(file: BinaryIO, size: int) -> bytes:
    """Read a stream of ``size`` bytes. Raises OSError if it is longer, shorter or damaged."""
    try:
        payload = file.read(size + 1)
    except (EOFError, zlib.error) as error:
        raise OSError(str(error)) from None
    if len(payload) != size:
        length = "longer" if len(payload) > size else f"only {len(payload):,} bytes"
        raise OSError(f"its payload is {length}, and should be {size:,} bytes")
    return payload


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
                found[name] = exactly(tar.extractfile(member), sizes[name])
    return {name: found[name] for name in sizes}
