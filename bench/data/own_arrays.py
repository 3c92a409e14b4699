"""Images in .npy, .npz and IDX files. Their headers are checked before their content is read."""

import struct
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bench.data.payloads import read_payload, unpacked
from bench.data.pixels import refuse_too_large
from bench.errors import InputError, reason_of
from bench.system.files import regular_file

GZIP_MAGIC = b"\x1f\x8b"
# An IDX file starts with two zeros, the code of its type (8: unsigned bytes) and its number of axes.
IDX_START, IDX_AXES = b"\0\0\x08", (3, 4)
LONGEST_HEADER = 4 * (1 + max(IDX_AXES))


def read_npy(path: Path) -> NDArray[Any]:
    """Return the array of an .npy file."""
    try:
        with regular_file(path) as file:
            return array_in(file, f"data: {path}")
    except InputError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise unreadable(path, error) from None


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file: those of these names, or its only one as ""."""
    try:
        with regular_file(path) as file, zipfile.ZipFile(file) as archive:
            found = {name.removesuffix(".npy"): name for name in archive.namelist()}
            if set(found) != set(names) and len(found) != 1:
                raise InputError(
                    f"data: {path} has the arrays {', '.join(found)[:200] or 'of no name'}; it may have one, "
                    f"or {', '.join(names)}"
                )
            arrays = {}
            for name, member in found.items():
                with archive.open(member) as content:
                    arrays[name if set(found) == set(names) else ""] = array_in(
                        content, f"data: {path}: {name}"
                    )
            return arrays
    except InputError:
        raise
    except Exception as error:  # a damaged archive can raise many types
        raise unreadable(path, error) from None


def array_in(file: IO[bytes], where: str) -> NDArray[Any]:
    """Return the array of an open .npy file. Its header says how large it is, and holds no code."""
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"it is of version {version} of the format")
    shape, is_fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise InputError(f"{where}: holds Python objects; store an array of 8-bit integers")
    if len(shape) not in (3, 4) or min(shape) < 0:
        raise InputError(
            f"{where}: an array of shape {shape}; (n, height, width) or (n, height, width, channels) is "
            "needed"
        )
    refuse_too_large(shape, where, dtype.itemsize)
    count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    content = file.read(count)
    if len(content) < count:
        raise ValueError(f"it is truncated: {len(content):,} bytes of {count:,}")
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape[::-1]).T if is_fortran else flat.reshape(shape)


def is_idx(path: Path) -> bool:
    """Tell whether a file begins as an IDX file of images, compressed by gzip or not."""
    try:
        return idx_header(path)[0].startswith(IDX_START)
    except OSError as error:
        raise unreadable(path, error) from None


def idx_header(path: Path) -> tuple[bytes, bool]:
    """Return the beginning of a file's content, and whether it is compressed."""
    with regular_file(path) as file:
        start = file.read(LONGEST_HEADER)
        if not start.startswith(GZIP_MAGIC):
            return start, False
        file.seek(0)
        return unpacked(file, LONGEST_HEADER), True


def read_idx(path: Path) -> NDArray[Any]:
    """Return the images of an IDX file of unsigned bytes."""
    try:
        start, is_compressed = idx_header(path)
        axes = int.from_bytes(start[3:4])  # 0 where the file ends before
        header = 4 * (1 + axes)
        if axes not in IDX_AXES or len(start) < header:
            raise OSError(f"it has {axes} axes, and images have {IDX_AXES[0]} or {IDX_AXES[1]}")
        shape = struct.unpack(f">{axes}I", start[4:header])
        refuse_too_large(shape, f"data: {path}")
        size = int(np.prod(shape, dtype=np.int64)) + header
        payload = read_payload(path, size, is_compressed)
    except OSError as error:
        raise unreadable(path, error) from None
    return np.frombuffer(payload, np.uint8, offset=header).reshape(shape)


def unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"data: {path} cannot be read: {reason_of(error)}")
