"""The files of a submission's folder: regular, of moderate size, and the ones that it names."""

import hashlib
import os
import re
import stat
from pathlib import Path

from bench.errors import InputError
from bench.system.files import MIB, read_bytes, regular_file, write_atomically

MOST_FILES = 1000
# Of a file, and of weights.
LONGEST, LONGEST_WEIGHTS = 16 * MIB, 2048 * MIB
# A path inside the folder: names of letters, digits and . _ -, none of which begins with a dot.
PLAIN_PATH = re.compile(r"[A-Za-z0-9_][\w.+-]*(/[A-Za-z0-9_][\w.+-]*){0,5}", re.ASCII)


def check_path(what: str, path: object) -> str:
    """Return a path inside the folder. Raises InputError if it may lead out of it."""
    if not isinstance(path, str) or len(path) > 300 or not PLAIN_PATH.fullmatch(path):
        raise InputError(
            f"{what}: {str(path)[:100]!r} is not a path inside the folder: names of letters, digits "
            "and . _ + -, with / between them; none begins with a dot"
        )
    return path


def check_contents(folder: Path) -> list[str]:
    """Return the paths of all files of a folder.

    Raises:
        InputError: It is no folder; something in it is a link, a device or the like; it has more
            files than a submission needs; or a name would need to be quoted.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise InputError(f"submission: {folder} is not a folder")
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place) / name
            inside = path.relative_to(folder).as_posix()
            kind = os.lstat(path).st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise InputError(f"submission: {inside} is a link or a device, and not a file")
            check_path("submission", inside)
            if stat.S_ISREG(kind):
                found.append(inside)
        if len(found) > MOST_FILES:
            raise InputError(f"submission: {folder} has more than {MOST_FILES} files")
    for inside in found:
        longest = LONGEST_WEIGHTS if inside.startswith("weights/") else LONGEST
        if (size := os.lstat(folder / inside).st_size) > longest:
            raise InputError(
                f"submission: {inside} has {size // MIB} MiB, more than {longest // MIB}; weights "
                "lie in weights/"
            )
    return sorted(found)


def text_of(folder: Path, path: str) -> str:
    """Return a text file of the folder. Raises InputError if it cannot be read."""
    try:
        return read_bytes(folder / path, LONGEST).decode("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"submission: {path} cannot be read: {error}") from None


def copy(source: Path, target: Path, what: str, longest: int) -> None:
    """Copy a regular file. Raises InputError if it cannot be read, or is too long."""
    try:
        content = read_bytes(source, longest)
    except OSError as error:
        raise InputError(f"{what}: {source} cannot be read: {error.strerror or error}") from None
    write_atomically(target, content)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a regular file. Raises InputError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with regular_file(path) as file:
            while block := file.read(MIB):
                digest.update(block)
    except OSError as error:
        raise InputError(f"submission: {path.name} cannot be read: {error}") from None
    return digest.hexdigest()


def check_hash(what: str, folder: Path, path: str, sha256: str) -> None:
    """Raise InputError unless a file of the folder is there and has this hash."""
    if not (folder / path).is_file():
        raise InputError(f"{what}: {path} is not in the folder")
    found = sha256_of(folder / path)
    if found != sha256:
        raise InputError(f"{what}: {path} has SHA-256 {found[:16]}…, and not {sha256[:16]}…")
