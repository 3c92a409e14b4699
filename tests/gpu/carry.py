"""Copies MNIST's files, compressed, into the folder that is carried to a GPU's machine."""

import gzip
import sys
from pathlib import Path

from bench.data.fetch import fetch
from bench.data.files import PAYLOADS, find_file, payload_of


def main(folder: Path) -> None:
    """Write the two files of MNIST's images into ``folder``."""
    fetch("mnist")
    folder.mkdir(parents=True, exist_ok=True)
    for name in PAYLOADS["mnist"]:
        found = find_file("mnist", name)
        assert found is not None  # as fetch says
        (folder / f"{name}.gz").write_bytes(
            gzip.compress(payload_of("mnist", name, found), 9, mtime=0)
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
