"""The table of dequantization gaps, dequantization.csv, from rows of claim 6 and records. No PyTorch."""

from collections.abc import Iterable

import pandas as pd

from bench.claims.across_runs import value_of
from bench.claims.rows import PlainRow
from bench.records.types import Record
from bench.report.intervals import interval

# What the statements of the rows begin with, see `bench.claims.evidence`.
TIGHTER, AT_ONE_LATENT = "bits/dim of L_", "at one z an image"
COLUMNS = (
    "task",
    "model",
    "seeds",
    "bits_per_dim",
    "bits_per_dim_low",
    "bits_per_dim_high",
    "gap",
    "gap_low",
    "gap_high",
    "dequantization_gap",
    "dequantization_gap_low",
    "dequantization_gap_high",
    "note",
)


def dequantization_table(records: Iterable[Record], rows: Iterable[PlainRow]) -> pd.DataFrame:
    """Return a row for each task and model that is measured for claim 6.

    ``bits_per_dim`` is that of the whole test split. ``gap`` is by how much bits/dim fall from the
    bound with one sample to L_1000, on the first test images. ``dequantization_gap`` is its part by
    dequantization: all of it for a flow, that at fixed latents for a Gaussian VAE, and 0 where the
    likelihood is one of levels. Low and high are 95 % intervals over seeds (Student's t).
    """
    by_model: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        by_model.setdefault((record["task"], record["model"]), []).append(record)
    own: dict[tuple[str, str], list[PlainRow]] = {}
    for row in rows:
        if row["claim"] == 6:
            own.setdefault((row["task"], row["model"]), []).append(row)
    table = [row_of(name, runs, own.get(name, [])) for name, runs in by_model.items()]
    return pd.DataFrame(table, columns=list(COLUMNS))


def row_of(name: tuple[str, str], runs: list[Record], rows: list[PlainRow]) -> list[object]:
    """Return the cells of one model's row."""
    tighter = [row for row in rows if row["statement"].startswith(TIGHTER)]
    fixed = [row for row in rows if row["statement"].startswith(AT_ONE_LATENT)]
    gap = spread([row["right"] - row["left"] for row in tighter])
    bits = spread([value_of(run, "bits_per_dim") for run in runs])
    if runs[0]["bound"] == "none":
        note, part, bits = "no dequantization: no bound, not comparable", spread([]), spread([])
    elif fixed:
        note, part = "at fixed latents", spread([row["right"] - row["left"] for row in fixed])
    elif tighter:
        note, part = "the gap is that of dequantization alone", gap
    else:
        note, part = "a likelihood of levels: no dequantization", (0.0, 0.0, 0.0)
    return [*name, len(runs), *bits, *gap, *part, note]


def spread(values: list[float]) -> tuple[float | None, float | None, float | None]:
    """Return mean, low and high of a 95 % interval over seeds; Nones where nothing was measured."""
    return interval(values, is_exact=False)
