"""Checks of command-line values that name files and folders, before a command starts."""

import os
import stat
import unicodedata
from collections.abc import Callable
from pathlib import Path

from bench.errors import InputError

# Bytes kept free: in a folder's path for the files in it, in a name for that of a temporary file.
ROOM_IN_PATH, ROOM_IN_NAME = 500, 40
LONGEST_PATH, LONGEST_NAME = 4096, 255


def check_text(what: str, text: str) -> None:
    """Raise InputError if a value is empty or has characters that terminals and tables cannot show."""
    if not text:
        raise InputError(f"{what}: is empty; leave it out, or give it a value")
    # Control characters, bytes that are not UTF-8, and line separators.
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text):
        shown = text.encode("unicode_escape").decode()[:200]
        raise InputError(f"{what}: '{shown}' has control characters, or bytes that are not UTF-8")


def check_path(what: str, text: str, room_in_path: int = 0, room_in_name: int = 0) -> Path:
    """Return the path that a value names. Raises InputError if no file system accepts it."""
    check_text(what, text)
    try:
        path = Path(os.path.abspath(text))
    except OSError:
        raise InputError(f"{what}: '{text}': the current folder does not exist any more") from None
    names = [len(os.fsencode(name)) for name in Path(text).parts]
    longest = LONGEST_NAME - room_in_name
    if max(names, default=0) > longest:
        raise InputError(f"{what}: a name in it is longer than {longest} bytes: '{text}'")
    if len(os.fsencode(path)) > LONGEST_PATH - room_in_path:
        raise InputError(f"{what}: longer than {LONGEST_PATH - room_in_path} bytes: '{text}'")
    return path


def check_folder(what: str, text: str) -> None:
    """Raise InputError unless ``text`` is a folder, or can become one."""
    path = check_path(what, text, ROOM_IN_PATH)
    check_is_folder(what, path)


def check_is_folder(what: str, path: Path) -> None:
    """Raise InputError unless the longest existing part of ``path`` is a folder."""
    existing = next(part for part in (path, *path.parents) if os.path.lexists(part))
    if not os.path.isdir(existing):
        raise InputError(f"{what}: {existing} is not a folder; give a folder, or a new path")


def check_file_to_write(what: str, text: str) -> None:
    """Raise InputError unless ``text`` is a regular file, or can become one.

    Devices and pipes are refused: an atomic write would replace /dev/null by a file.
    """
    path = check_path(what, text, ROOM_IN_NAME, ROOM_IN_NAME)
    check_is_folder(what, path.parent)
    if os.path.isdir(path) or text.endswith("/"):
        raise InputError(f"{what}: {text} is a folder; name the file to write, say {path}/NAME")
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{what}: {text} is not a regular file")
    folder = next(part for part in path.parents if os.path.isdir(part))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{what}: {text} cannot be written: no permission in {folder}")


def check_file_to_rewrite(what: str, text: str) -> None:
    """Raise InputError unless ``text`` is a file that can be rewritten."""
    path = check_path(what, text, ROOM_IN_NAME, ROOM_IN_NAME)
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise InputError(f"{what}: {text} cannot be read: {error.strerror}") from None
    if not is_file:
        raise InputError(f"{what}: {text} is not a regular file")
    check_file_to_write(what, text)


def check_name(what: str, text: str) -> None:
    """Raise InputError if no file or folder can have this name."""
    check_path(what, text, ROOM_IN_PATH, ROOM_IN_NAME)


def check_file_name(what: str, text: str) -> None:
    """Raise InputError if no file can have this name, or a folder has this name."""
    if os.path.isdir(check_path(what, text)) or text.endswith("/"):
        raise InputError(f"{what}: {text} is a folder; give a file")


def check_folder_or_address(what: str, text: str) -> None:
    """Raise InputError unless ``text`` is an address (s3://…), or a folder, or can become one."""
    if "://" not in text:
        check_folder(what, text)
    else:
        check_text(what, text)


# The checks of options by their names, in all commands; other texts get ``check_text``.
KINDS: dict[str, Callable[[str, str], object]] = {
    "results": check_folder,
    "refresh": check_folder,
    "storage": check_folder_or_address,
    "output": check_file_to_write,
    "out": check_folder,
    "beside": check_folder,
    "board": check_folder,
    "readme": check_file_to_rewrite,
    "page": check_file_to_rewrite,
    "name": check_name,
    "sweep": check_name,
    "evaluate_only": check_file_name,
    "table": check_file_name,
    "peers": check_file_name,
}


def check_option(option: str, value: object) -> None:
    """Raise InputError if a command's option cannot have this value."""
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, str):
            KINDS.get(option, check_text)(option, part)
