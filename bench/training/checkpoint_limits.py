"""Limits of a checkpoint's content; without them a small file could fill the memory.

Hashing visits a part as often as it is referenced, so that lists that contain each other never end,
and a tensor of stride 0 is as long as it claims. Each check raises ValueError.
"""

import io
import pickletools
import re
import zipfile
from typing import Any, BinaryIO

import torch

# Twice what the largest model of configs/ has, its optimizer's state included: 230 MiB.
LONGEST_FILE = 2**29
# Tensors and a few others: a parameter has four, with Adam's.
MOST_ENTRIES = 30_000
# 1000 epochs of curves take 50 kB. Read, each byte may become an object of 60.
LONGEST_PICKLE = 2**24
MOST_PARTS, DEEPEST = 1_000_000, 100
# Bytes to hash for each byte of the file: weights that are shared are stored once.
MOST_SHARED = 10
LONGEST_TUPLE = 1000
# Numbers up to 64 bits, with their sign.
LONGEST_NUMBER = 9
# How the entry of each file starts in a zip archive (APPNOTE.TXT, section 4.3.12).
CENTRAL_DIRECTORY = b"PK\x01\x02"


def checked_archive(file: BinaryIO) -> io.BytesIO:
    """Return the zip archive that PyTorch writes, checked before PyTorch reads it.

    PyTorch and Python may read one file as different archives, so PyTorch gets a new archive of the
    checked parts.
    """
    length = file.seek(0, 2)
    if length > LONGEST_FILE:
        raise ValueError(f"it is {length:,} bytes long, more than {LONGEST_FILE:,}")
    file.seek(0)
    if file.read(4) != b"PK\x03\x04":
        raise ValueError("it is no zip archive, as PyTorch writes them")
    # Python would create an object for each entry before their number is known.
    blocks = iter(lambda: file.read(2**20), b"")
    if sum(block.count(CENTRAL_DIRECTORY) for block in blocks) > MOST_ENTRIES:
        raise ValueError(f"it has more than {MOST_ENTRIES:,} parts")
    safe = io.BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(safe, "w") as written:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > length:
            raise ValueError("its parts are longer than itself")
        # Everything but the tensors.
        others = [e for e in entries if not re.fullmatch(r"[^/]*/data/\d+", e.filename)]
        if sum(entry.file_size for entry in others) > LONGEST_PICKLE:
            raise ValueError(
                f"what it holds beside tensors is longer than {LONGEST_PICKLE:,} bytes"
            )
        check_names([entry.filename for entry in entries])
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its part {entry.filename} is compressed")
            content = archive.read(entry)
            if entry.filename.endswith("/data.pkl"):
                check_pickle(content)
            written.writestr(entry.filename, content)
    safe.seek(0)
    return safe


def check_names(names: list[str]) -> None:
    """Check that each part of an archive occurs once, also on file systems that ignore case."""
    if len({name.lower() for name in names}) < len(names):
        raise ValueError("it holds two parts of one name")
    tops = {name.partition("/")[0] for name in names}
    if len(tops) != 1 or f"{tops.pop()}/data.pkl" not in names:
        raise ValueError("it is no one folder with a data.pkl")


def check_pickle(pickled: bytes) -> None:
    """Check the keys that dicts may get when it is read.

    Python hashes a tuple again wherever it is a key, and many long numbers share one hash; both could
    take for ever.
    """
    # How many parts each object on the stack has; a mark is pickletools' own.
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    for operation, argument, _ in pickletools.genops(pickled):
        name, before = operation.name, operation.stack_before
        if name.startswith("LONG") and name[4:] in ("1", "4"):
            if not -(2 ** (8 * LONGEST_NUMBER)) < argument < 2 ** (8 * LONGEST_NUMBER):
                raise ValueError("it holds a number of more than 64 bits")
        if "PUT" in name or name == "MEMOIZE":
            memo[len(memo) if argument is None else argument] = stack[-1]
            continue
        if "GET" in name:
            stack.append(memo[argument])
            continue
        taken = []
        if pickletools.stackslice in before:
            while (part := stack.pop()) is not pickletools.markobject:
                taken.append(part)
            before = before[: before.index(pickletools.markobject)]
        taken += [stack.pop() for _ in before]
        parts = 1 + sum(taken) if name.startswith("TUPLE") else 1
        if parts > LONGEST_TUPLE:
            raise ValueError(f"it holds a tuple of more than {LONGEST_TUPLE} parts")
        is_mark = pickletools.markobject in operation.stack_after
        stack += [pickletools.markobject if is_mark else parts] * len(operation.stack_after)


def check_content(checkpoint: Any, length: int) -> None:
    """Check that a checkpoint can be hashed quickly and holds only plain data and tensors.

    Args:
        checkpoint: What was read.
        length: That of the file in bytes.
    """
    parts = to_hash = 0

    def visit(part: Any, depth: int) -> None:
        nonlocal parts, to_hash
        parts += 1
        if isinstance(part, torch.Tensor):
            check_tensor(part)
            to_hash += part.numel() * part.element_size()
        elif isinstance(part, (str, bytes)):
            to_hash += len(part)
        elif not isinstance(part, (dict, list, tuple, int, float, type(None))):
            raise ValueError(f"it holds a {type(part).__name__}")
        if parts > MOST_PARTS or depth > DEEPEST or to_hash > MOST_SHARED * length:
            raise ValueError("its parts hold one another, or one of them too often")
        if isinstance(part, dict):
            for name, value in part.items():
                if not isinstance(name, (str, int)):
                    raise ValueError(f"it holds a {type(name).__name__} as a name")
                to_hash += len(name) if isinstance(name, str) else 1
                visit(value, depth + 1)
        elif isinstance(part, (list, tuple)):
            for value in part:
                visit(value, depth + 1)

    visit(checkpoint, 0)


def check_tensor(tensor: torch.Tensor) -> None:
    """Refuse a tensor that is anything but its numbers in memory."""
    kind = {
        "of a class of its own": type(tensor) not in (torch.Tensor, torch.nn.Parameter),
        "nested": tensor.is_nested,
        "sparse": tensor.layout != torch.strided,
        "without numbers": tensor.device.type != "cpu",
        "quantized": tensor.is_quantized,
        "a view that is conjugate or negative": tensor.is_conj() or tensor.is_neg(),
    }
    for what, is_so in kind.items():
        if is_so:
            raise ValueError(f"it holds a tensor that is {what}")
    length = tensor.numel() * tensor.element_size()
    if length > tensor.untyped_storage().nbytes():
        raise ValueError(f"it holds a tensor of {length:,} bytes that are not in the file")
