"""Pictures of published records, in files of their own.

A run's record holds its pictures as PNGs in base64, which are nine tenths of it. Where many records
are published, each distinct picture is one file, ``images/SHA-256.png`` beside the folders of the
runs, and records name it. The content of a record, and with it its checksum, stays the same.

    python -m bench.records.images results/mnist/runs
"""

import hashlib
import json
import re
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from bench.system.files import MIB, read_bytes, write_atomically

FOLDER = "images"
# How a record names a picture; no base64 has a colon.
NAMED = re.compile(r"sha256:([0-9a-f]{64})")
# The longest known picture has 25 KiB.
LONGEST = 4 * MIB


def with_images(content: Any, runs: Path) -> Any:
    """Return the content of a record's file with its pictures in base64.

    Raises:
        OSError: A picture that it names is missing, or cannot be read.
    """
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, dict):
        return content
    return content | {"images": {name: picture(value, runs) for name, value in images.items()}}


def picture(value: Any, runs: Path) -> Any:
    """Return a picture in base64, from its file if ``value`` is the name of one."""
    named = NAMED.fullmatch(value) if isinstance(value, str) else None
    if named is None:
        return value
    return b64encode(read_bytes(runs / FOLDER / f"{named[1]}.png", LONGEST)).decode()


def named_images(images: dict[str, str], runs: Path) -> dict[str, str]:
    """Write pictures into files, those that differ from all others, and return their names."""
    names = {}
    for name, encoded in images.items():
        content = b64decode(encoded)
        digest = hashlib.sha256(content).hexdigest()
        path = runs / FOLDER / f"{digest}.png"
        if not path.exists():
            write_atomically(path, content)
        names[name] = f"sha256:{digest}"
    return names


def main(runs: Path) -> None:
    """Put the pictures of all records under ``runs`` into files.

    Raises:
        InputError: A record is damaged.
    """
    from bench.records.record import read_record, record_text

    for path in sorted(runs.glob("*/record.json")):
        record = read_record(path)
        if record.get("images"):
            named = {**record, "images": named_images(record["images"], runs)}
            if with_images(json.loads(json.dumps(named)), runs) != record:
                raise ValueError(f"{path}: a picture is not in canonical base64")
            write_atomically(path, record_text(named))


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        main(Path(folder))
