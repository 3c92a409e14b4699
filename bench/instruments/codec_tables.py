"""The tables of ``bench codecs``: codecs.csv, bits_back.csv and timings.csv."""

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.configuration.files import named_task
from bench.data.tasks import load_task
from bench.instruments.bits_back.rows import Coded
from bench.instruments.codecs import codec_rows
from bench.instruments.progress import PartProgress, prefixed
from bench.records.provenance import describe_data
from bench.records.tables import csv_text
from bench.system.files import write_atomically

# What a row of codecs.csv is of: a later row of the same replaces an earlier one.
IDENTITY = ["task", "codec", "layout", "headers"]


def of_tasks(names: Sequence[str], parts: Sequence[PartProgress]) -> list[pd.DataFrame]:
    """Return the rows of all codecs that need no training, on tasks under configs/data."""
    tables = []
    for name, part in zip(names, parts):
        data = load_task(named_task(name))
        tables.append(codec_rows(data, describe_data(data), prefixed(part, data.task.name)))
    return tables


def write_codecs(path: Path, tables: list[pd.DataFrame], coded: list[Coded]) -> pd.DataFrame:
    """Write codecs.csv and return what was measured, as text; the file's other rows stay, to the byte."""
    measured = [as_text(table) for table in tables]
    measured += [as_text(pd.DataFrame(one.codecs)) for one in coded]
    known = [pd.read_csv(path, dtype=str, keep_default_na=False)] if path.is_file() else []
    table = pd.concat([*known, *measured]).drop_duplicates(IDENTITY, keep="last")
    write_atomically(path, csv_text(table))
    return pd.concat(measured) if measured else table


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its cells as they are written."""
    return pd.read_csv(io.StringIO(csv_text(table)), dtype=str, keep_default_na=False)


def write_bits_back(folder: Path, coded: list[Coded]) -> None:
    """Write bits_back.csv, and timings.csv, which differs when the same is measured again."""
    rows = pd.DataFrame([row for one in coded for row in one.rows])
    rows["importance_samples"] = rows["importance_samples"].astype("Int64")
    write_atomically(folder / "bits_back.csv", csv_text(rows))
    write_atomically(folder / "timings.csv", csv_text(pd.DataFrame([one.speed for one in coded])))
