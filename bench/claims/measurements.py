"""Measurements: what workers measured of one item, one JSON file for each, checked when read."""

import json
from pathlib import Path
from typing import TypedDict

from bench.claims.curves import Curve
from bench.claims.items import Item, TrainedItem
from bench.claims.rows import PlainRow
from bench.records.code import running_code_hash
from bench.records.record import checksum
from bench.records.types import Record
from bench.system.files import MIB, read_text, write_atomically

# A measurement holds curves and images.
LONGEST = 64 * MIB


class Measurement(TypedDict):
    """Rows and curves of one item. The file also holds the item's identity and a checksum."""

    rows: list[PlainRow]
    curves: list[Curve]


class Outcome(TypedDict):
    """What a worker returns.

    Attributes:
        record: The run's record; None for models in closed form.
        measurement: None if the run failed.
    """

    record: Record | None
    measurement: Measurement | None


def measurement_path(directory: Path, key: str) -> Path:
    return directory / "claims" / "measurements" / f"{key}.json"


def write_measurement(directory: Path, item: Item, measurement: Measurement) -> Measurement:
    """Write a measurement into a sweep's folder. Returns it as it will be read again."""
    content: dict[str, object] = {**measurement, **identity_of(item)}
    text = json.dumps(content | {"checksum": checksum(content)}, sort_keys=True, indent=1) + "\n"
    write_atomically(measurement_path(directory, item.key), text)
    written: Measurement = json.loads(text)
    return written


def identity_of(item: Item) -> dict[str, object]:
    """Return what a measurement is a function of: the item and the code.

    A measurement whose identity is another is made again.
    """
    trained = item if isinstance(item, TrainedItem) else None
    return {
        "key": item.key,
        "claims": list(trained.claims) if trained else [],
        "images": trained.images if trained else 0,
        "code_sha256": running_code_hash("claims"),
    }


def read_measurement(directory: Path, item: Item) -> Measurement | None:
    """Return the measurement of this item by this code; None if there is none, or it is damaged."""
    try:
        content = json.loads(read_text(measurement_path(directory, item.key), LONGEST))
        if content["checksum"] != checksum(content):
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    found: Measurement = content
    return found if identity_of(item).items() <= content.items() else None
