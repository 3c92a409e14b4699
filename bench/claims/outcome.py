"""From measurements and records to claims.csv, figures and claims.html."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.claims.across_runs import (
    alternating_rows,
    decomposition_rows,
    degeneracy_rows,
    dequantization_gap_rows,
    surgery_rows,
    value_of,
)
from bench.claims.blur import blur_records, blur_rows, correlation
from bench.claims.catalogue import CLAIMS
from bench.claims.curves import Curve, GapsCurve
from bench.claims.dequantization import dequantization_table
from bench.claims.items import Item, TrainedItem
from bench.claims.measurements import Measurement
from bench.claims.prior_gain import prior_gain_rows, prior_gain_sentences
from bench.claims.richer_posteriors import richer_rows, richer_sentences
from bench.claims.rows import PlainRow, Row
from bench.records.provenance import commit_label
from bench.records.tables import csv_text
from bench.records.types import Record
from bench.system.files import write_atomically
from bench.system.printing import print_table

# Claims whose figures are drawn from records, and not from curves alone.
CLAIMS_WITH_RECORDS = (5, 7, 12, 14)
COLUMNS = (
    "claim",
    "statement",
    "source",
    "task",
    "model",
    "seed",
    "left",
    "right",
    "difference",
    "stderr",
    "tolerance",
    "holds",
    "unit",
    "key",
    "commit",
)


def all_rows(
    items: Sequence[Item], records: dict[str, Record], measurements: dict[str, Measurement]
) -> list[PlainRow]:
    """Return every row: those that workers measured, and those from records and across runs."""
    measured = [measurements[item.key] for item in items if item.key in measurements]
    rows = [row for measurement in measured for row in measurement["rows"]]
    across: list[Row] = []
    for item in items:
        record = records.get(item.key)
        if record is None or not isinstance(item, TrainedItem):
            continue
        across += decomposition_rows(record) if 1 in item.claims else []
        across += degeneracy_rows(record) if 7 in item.claims else []
        across += surgery_rows(record) if 10 in item.claims else []
    across += alternating_rows(records_for(5, items, records))
    across += dequantization_gap_rows(curves_of(measurements))
    across += blur_rows(records_for(12, items, records))
    across += richer_rows(gaps_in(curves_of(measurements)))
    across += prior_gain_rows(records_for(14, items, records))
    rows += [row.plain() for row in across]
    return sorted(rows, key=lambda row: row["claim"])


def records_for(claim: int, items: Sequence[Item], records: dict[str, Record]) -> list[Record]:
    """Return the records of the runs that are measured for a claim."""
    trained = [item for item in items if isinstance(item, TrainedItem)]
    wanted = [item.key for item in trained if claim in item.claims]
    return [records[key] for key in wanted if key in records]


def curves_of(measurements: dict[str, Measurement]) -> list[Curve]:
    return [curve for measurement in measurements.values() for curve in measurement["curves"]]


def gaps_in(curves: list[Curve]) -> list[GapsCurve]:
    """Return the measured gaps of claim 13."""
    return [curve for curve in curves if curve["figure"] == "gaps"]


def table_of(rows: list[PlainRow]) -> pd.DataFrame:
    """Return claims.csv."""
    commit = commit_label()
    sources = {"source": [CLAIMS[row["claim"]].source for row in rows], "commit": commit}
    table = pd.DataFrame(rows).assign(**sources)[list(COLUMNS)]
    return table.astype({"seed": "Int64"})


def conclusions_of(
    items: Sequence[Item], records: dict[str, Record], table: pd.DataFrame, gaps: list[GapsCurve]
) -> dict[int, str]:
    """Return, for each claim with rows, sentences that sum them up."""
    sentences: dict[int, str] = {}
    for number, own in table.groupby("claim"):
        misses = own[~own["holds"]]
        text = f"{len(own) - len(misses)} of {len(own)} rows hold."
        if len(misses):
            kinds = misses.groupby("statement").size()
            parts = [f"“{statement}” ({count} rows)" for statement, count in kinds.items()]
            text += " What does not: " + "; ".join(parts) + "."
        sentences[int(number)] = text
    for task, own in blur_records(records_for(12, items, records)).items():
        sentences[12] = sentences.get(12, "") + " " + blur_sentence(task, own)
    if gaps:
        sentences[13] = sentences.get(13, "") + " " + richer_sentences(gaps)
    if gained := prior_gain_sentences(records_for(14, items, records)):
        sentences[14] = f"{sentences[14]} {gained}"
    return sentences


def blur_sentence(task: str, records: list[Record]) -> str:
    """Return a sentence about mismatch and blur on one task, with its numbers."""
    mean = lambda name: float(np.mean([value_of(record, name) for record in records]))
    prior, aggregate = mean("sharpness"), mean("sharpness_aggregate")
    reconstruction = mean("sharpness_reconstruction")
    rho, _, low, high = correlation(records)
    mismatch, decoder = aggregate - prior, 1 - reconstruction
    if mismatch > decoder:
        cause = "mismatch of prior and aggregated posterior is the larger part"
    elif mismatch > 0.1 * decoder:
        cause = "mismatch is a part of the blur, the decoder the larger one"
    else:
        cause = "the decoder makes nearly all of the blur, mismatch next to none"
    if low <= 0 <= high:
        trend = "no rank correlation with the marginal KL can be told"
    else:
        direction = "less" if rho < 0 else "more"
        trend = f"a larger marginal KL goes with {direction} sharp samples"
    return (
        f"On {task}, over {len(records)} VAEs, samples from the prior are {prior:.2f} times as "
        f"sharp as data, samples from q_agg {aggregate:.2f}, reconstructions {reconstruction:.2f}: "
        f"the decoder loses {decoder:.2f}, mismatch {mismatch:.2f}, so that {cause}; {trend} "
        f"(Spearman's ρ = {rho:.2f}, 95 % interval {low:.2f} to {high:.2f})."
    )


def write_outcome(
    directory: Path,
    items: Sequence[Item],
    records: dict[str, Record],
    measurements: dict[str, Measurement],
) -> pd.DataFrame:
    """Write claims.csv, dequantization.csv, figures/claim-*.png and claims.html into a sweep's folder.

    Args:
        directory: The folder.
        items: All items, in the order of the table.
        records: {key: record} of trained runs.
        measurements: {key: measurement} of the items that are measured.

    Returns:
        The table of claims.csv.
    """
    rows = all_rows(items, records, measurements)
    table, curves = table_of(rows), curves_of(measurements)
    gaps = dequantization_table(records_for(6, items, records), rows)
    conclusions = conclusions_of(items, records, table, gaps_in(curves))
    write_atomically(directory / "claims.csv", csv_text(table))
    if len(gaps):
        write_atomically(directory / "dequantization.csv", csv_text(gaps))
    from bench.claims.figures import draw_all
    from bench.claims.page import write_page

    shown = {claim: records_for(claim, items, records) for claim in CLAIMS_WITH_RECORDS}
    front, figures = draw_all(shown, curves, directory / "figures")
    write_page(directory / "claims.html", directory.name, table, figures, conclusions, front)
    return table


def verdicts(table: pd.DataFrame) -> list[tuple[int, str, int, int]]:
    """Return (claim, title, rows, rows that hold) of every claim."""
    held = table.groupby("claim")["holds"].agg(["size", "sum"]).reindex(CLAIMS, fill_value=0)
    return [
        (number, CLAIMS[number].title, int(rows), int(hold))
        for number, rows, hold in held.itertuples()
    ]


def words_of(rows: int, hold: int) -> str:
    if not rows:
        return "not measured here"
    return "holds" if hold == rows else "does not hold everywhere"


def markdown(table: pd.DataFrame) -> str:
    """Return the verdicts as a table in Markdown."""
    lines = ["|  | claim | rows | hold | verdict |", "|---:|---|---:|---:|---|"]
    for number, title, rows, hold in verdicts(table):
        verdict = words_of(rows, hold)
        verdict = f"**{verdict}**" if rows and hold < rows else verdict
        lines.append(f"| {number} | {title} | {rows} | {hold} | {verdict} |")
    return "\n".join([*lines, ""])


def print_verdicts(table: pd.DataFrame) -> None:
    """Print a line for each claim: how many of its rows hold."""
    found = verdicts(table)
    rows = [[*map(str, verdict), words_of(*verdict[2:])] for verdict in found]
    missed = {position for position, (*_, rows_of, hold) in enumerate(found) if hold < rows_of}
    headings = ["", "claim", "rows", "hold", "verdict"]
    print_table("The lecture's claims", headings, rows, texts={1, 4}, red=missed)
