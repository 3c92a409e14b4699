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

# What a row is of: a later row of the same replaces an earlier one.
CODEC = ["task", "codec", "layout", "headers"]
MESSAGE = ["task", "key", "latent_bits", "n"]


def of_tasks(names: Sequence[str], parts: Sequence[PartProgress]) -> list[pd.DataFrame]:
    """Return the rows of all codecs that need no training, on tasks under configs/data."""
    tables = []
    for name, part in zip(names, parts):
        data = load_task(named_task(name))
        tables.append(codec_rows(data, describe_data(data), prefixed(part, data.task.name)))
    return tables


def write_codecs(path: Path, tables: list[pd.DataFrame], coded: list[Coded]) -> pd.DataFrame:
    """Write rows into codecs.csv, and return them as text."""
    measured = pd.concat([*tables, *(pd.DataFrame(one.codecs) for one in coded)])
    return write_rows(path, measured, CODEC)


def write_bits_back(folder: Path, coded: list[Coded]) -> None:
    """Write rows into bits_back.csv, and into timings.csv, which differ when they are measured again."""
    rows = pd.DataFrame([row for one in coded for row in one.rows])
    rows["importance_samples"] = rows["importance_samples"].astype("Int64")
    write_rows(folder / "bits_back.csv", rows, MESSAGE)
    write_rows(folder / "timings.csv", pd.DataFrame([one.speed for one in coded]), MESSAGE[:2])


def write_rows(path: Path, table: pd.DataFrame, identity: list[str]) -> pd.DataFrame:
    """Write rows into a table, and return them as text. Its other rows stay as they are, to the byte."""
    new = read_text(io.StringIO(csv_text(table)))
    known = [read_text(path)] if path.is_file() else []
    write_atomically(
        path, csv_text(pd.concat([*known, new]).drop_duplicates(identity, keep="last"))
    )
    return new


def read_text(source: Path | io.StringIO) -> pd.DataFrame:
    """Read a table with each cell as it is written."""
    return pd.read_csv(source, dtype=str, keep_default_na=False)
