"""Words of a command line that name files and folders, checked before any command begins."""

import os
import stat
import unicodedata
from collections.abc import Callable
from pathlib import Path

from bench.errors import InputError

# Room in a folder for what is written into it, and in a name for the one it is written under first.
ROOM_IN_PATH, ROOM_IN_NAME = 500, 40
LONGEST_PATH, LONGEST_NAME = 4096, 255


def check_text(what: str, text: str) -> None:
    """Raise InputError if a word is empty, or holds what no terminal and no table can show."""
    if not text:
        raise InputError(f"{what}: is empty; leave it out, or give it a value")
    # Control characters, bytes that are no UTF-8, and separators of lines.
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text):
        shown = text.encode("unicode_escape").decode()[:200]
        raise InputError(f"{what}: '{shown}' holds control characters, or bytes that are no UTF-8")


def check_path(what: str, text: str, room_in_path: int = 0, room_in_name: int = 0) -> Path:
    """Return the path that a word names. Raises InputError if no file system takes it."""
    check_text(what, text)
    try:
        path = Path(os.path.abspath(text))
    except OSError:
        raise InputError(f"{what}: '{text}': the folder that this was called in is gone") from None
    names = [len(os.fsencode(name)) for name in Path(text).parts]
    longest = LONGEST_NAME - room_in_name
    if max(names, default=0) > longest:
        raise InputError(f"{what}: a name in it is longer than {longest} bytes: '{text}'")
    if len(os.fsencode(path)) > LONGEST_PATH - room_in_path:
        raise InputError(f"{what}: longer than {LONGEST_PATH - room_in_path} bytes: '{text}'")
    return path


def check_folder(what: str, text: str) -> None:
    """Raise InputError unless ``text`` is a folder, or one can be made there."""
    path = check_path(what, text, ROOM_IN_PATH)
    check_is_folder(what, path)


def check_is_folder(what: str, path: Path) -> None:
    """Raise InputError unless the nearest part of ``path`` that is there is a folder."""
    there = next(part for part in (path, *path.parents) if os.path.lexists(part))
    if not os.path.isdir(there):
        raise InputError(f"{what}: {there} is no folder; give a folder, or what may become one")


def check_file_to_write(what: str, text: str) -> None:
    """Raise InputError unless a file can be written there.

    What is neither a file nor missing stays: a rename would put a file in the place of /dev/null.
    """
    path = check_path(what, text, ROOM_IN_NAME, ROOM_IN_NAME)
    check_is_folder(what, path.parent)
    if os.path.isdir(path) or text.endswith("/"):
        raise InputError(f"{what}: {text} is a folder; name the file to write, say {path}/NAME")
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{what}: {text} is no regular file")
    there = next(part for part in path.parents if os.path.isdir(part))
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{what}: {text} cannot be written: no permission in {there}")


def check_file_to_rewrite(what: str, text: str) -> None:
    """Raise InputError unless ``text`` is a file that can be written again."""
    path = check_path(what, text, ROOM_IN_NAME, ROOM_IN_NAME)
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise InputError(f"{what}: {text} cannot be read: {error.strerror}") from None
    if not is_file:
        raise InputError(f"{what}: {text} is no regular file")
    check_file_to_write(what, text)


def check_name(what: str, text: str) -> None:
    """Raise InputError if no file or folder can have this name."""
    check_path(what, text, ROOM_IN_PATH, ROOM_IN_NAME)


def check_file_name(what: str, text: str) -> None:
    """Raise InputError if no file can have this name, or a folder has it."""
    if os.path.isdir(check_path(what, text)) or text.endswith("/"):
        raise InputError(f"{what}: {text} is a folder, and should be a file")


def check_folder_or_address(what: str, text: str) -> None:
    """Raise InputError unless ``text`` is an address (s3://…), a folder, or may become one."""
    if "://" not in text:
        check_folder(what, text)
    else:
        check_text(what, text)


# What the options of all commands are; what is not here is a word, of no kind of its own.
KINDS: dict[str, Callable[[str, str], object]] = {
    "results": check_folder,
    "storage": check_folder_or_address,
    "output": check_file_to_write,
    "readme": check_file_to_rewrite,
    "page": check_file_to_rewrite,
    "name": check_name,
    "sweep": check_name,
    "evaluate_only": check_file_name,
    "table": check_file_name,
    "peers": check_file_name,
}


def check_option(option: str, value: object) -> None:
    """Raise InputError if the value of a command's option is a text that it cannot have."""
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, str):
            KINDS.get(option, check_text)(option, part)
