"""The page's content for a task, as plain data: leaderboard, runs, curves and pictures."""

from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypedDict

import pandas as pd

from bench.records.row import METRICS, row_of
from bench.records.run_columns import DIAGNOSTICS
from bench.records.types import REFERENCES, SPLITS, EpochRecord, Record, SlimRecord
from bench.report.shown import CURVES, by_model, decoded, visible_range
from bench.report.tables import SHOWN, open_ranks, rank_text, texts_of_task

# The most runs that one page lists; the CSVs hold all.
MOST_RUNS = 10_000
# Points of a curve: a figure has no pixels for more.
MOST_POINTS = 200
# Kinds of pictures in the order shown.
PICTURES = {
    "data": "test data",
    "reconstructions": "reconstructions",
    "samples": "samples",
    "samples_aggregate": "samples from q_agg",
}
ESTIMATES = ("bits_per_dim", "bits_per_dim_stderr", *METRICS[1:], "bound_rise_stderr")


class PictureRow(TypedDict):
    """The pictures of one model: PNGs in base64 by kind."""

    model: str
    seed: int
    images: dict[str, str]


def board_of(board: pd.DataFrame, runs: Sequence[SlimRecord]) -> list[dict[str, object]]:
    """Return the rows of a task's leaderboard: numbers to sort and draw, and texts to show.

    Args:
        board: The leaderboard of this task.
        runs: All records of the task, as ``load_sweep`` returns them.
    """
    dirty = Counter(record["model"] for record in runs if record["environment"]["dirty"])
    numbers = ["rank", "rank_low", "seeds", "failed", "importance_samples", "bits_per_dim_low"]
    numbers += ["bits_per_dim_high", "log_n", *(name for name, *_ in SHOWN), *DIAGNOSTICS]
    rows = []
    for texts, (_, row) in zip(texts_of_task(board), board.iterrows()):
        made: dict[str, object] = {name: plain(row[name]) for name in numbers}
        made["model"] = row["model"]
        made["trained"] = str(row["model"]).partition(" ")[0] not in REFERENCES
        made["bound"] = None if pd.isna(row["bound"]) else row["bound"]
        made["dirty"] = dirty[row["model"]]
        if not pd.isna(row["plugin"]):
            made["plugin"] = f"parts of the model come from {row['plugin']}"
        made["text"] = texts | {"ranks": open_ranks(row), "rank": rank_text(row)}
        rows.append(made)
    return rows


def plain(value: Any) -> float | int | None:
    """Return a numeric cell of a table, of any of pandas' types, as a number for JSON."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def runs_of(records: Sequence[SlimRecord], sweep: str) -> dict[str, object]:
    """Return a task's runs column by column, with each distinct configuration and environment once."""
    first = ("key", "model", "seed", "status", "bound", "parameters", "epochs", "best_epoch")
    runs: dict[str, object] = {name: [record.get(name) for record in records] for name in first}
    runs["reason"] = [record.get("reason") for record in records]
    runs["dirty"] = [bool(record["environment"]["dirty"]) for record in records]
    for split in SPLITS:
        rows = [row_of(record, sweep, split) for record in records]
        columns = {name: [row[name] for row in rows] for name in ESTIMATES}
        runs[split] = {name: c for name, c in columns.items() if any(v is not None for v in c)}
    names = dict.fromkeys(name for record in records for name in record["timing"])
    runs["timing"] = {name: [record["timing"].get(name) for record in records] for name in names}
    configs = [record["config_text"] for record in records]
    environments = [record["environment_text"] for record in records]
    for name, texts in (("config", configs), ("environment", environments)):
        positions = {text: position for position, text in enumerate(dict.fromkeys(texts))}
        runs[f"{name}s"] = list(positions)
        runs[name] = [positions[text] for text in texts]
    return runs


def curves_of(drawn: Sequence[Record]) -> list[dict[str, object]]:
    """Return each model's training curves, a line for each seed."""
    curves: list[dict[str, object]] = []
    for model, group in by_model(drawn).items():
        lines = []
        for record in group:
            points = thinned(record["history"])
            if points:
                own = [[p["epoch"], *(shortened(p[name]) for name in CURVES)] for p in points]
                best = record.get("best_epoch")
                lines.append({"seed": record["seed"], "best": best, "points": own})
        if lines:
            curves.append({"model": model, "range": visible_range(group), "lines": lines})
    return curves


def thinned(points: list[EpochRecord]) -> list[EpochRecord]:
    """Return at most MOST_POINTS evenly spaced points of a curve, including the last."""
    step = -(-len(points) // MOST_POINTS)
    return points[::-1][::step][::-1] if points else []


def shortened(value: float) -> float:
    """Return a number to six digits; a figure shows no more."""
    return float(f"{value:.6g}")


def pictures_of(drawn: Sequence[Record]) -> dict[str, object]:
    """Return the pictures of one seed of each model, and their largest width in pixels."""
    firsts = [group[0] for group in by_model(drawn).values()]
    rows: list[PictureRow] = []
    widths = [1]
    for record in firsts:
        images: dict[str, str] = {}
        for kind in PICTURES:
            if kind in record["images"]:
                title = f"{record['model']}, {kind}"
                widths.append(decoded(record["images"][kind], title).shape[1])
                # Encoded anew: the decoder skipped all characters that are not base64.
                images[kind] = b64encode(b64decode(record["images"][kind])).decode()
        if images:
            rows.append({"model": record["model"], "seed": record["seed"], "images": images})
    data = next((row["images"]["data"] for row in rows if "data" in row["images"]), None)
    for row in rows:
        # The test images are the same for all models of a task.
        row["images"].pop("data", None)
    return {"data": data, "rows": [r for r in rows if r["images"]], "width": max(widths)}


def latents_of(drawn: Sequence[Record]) -> list[dict[str, object]]:
    """Return the map of the latent space of one seed of each model that has one."""
    firsts = [group[0] for group in by_model(drawn).values()]
    return [
        {"model": record["model"], "seed": record["seed"], **latent}
        for record in firsts
        if (latent := record.get("latent")) is not None
    ]


def details_of_task(
    sweep: str, runs: Sequence[SlimRecord], board: pd.DataFrame, drawn: Sequence[Record]
) -> dict[str, object]:
    """Return the page's content for a task without its leaderboard.

    Args:
        sweep: The sweep's name.
        runs: The task's records to list, as ``load_sweep`` returns them.
        board: The leaderboard of the task.
        drawn: Whole records of the task's runs whose curves and pictures are shown.
    """
    rank = {model: position for position, model in enumerate(board["model"])}
    drawn = sorted(drawn, key=lambda record: rank.get(record["model"], len(rank)))
    return {
        "runs": runs_of(runs, sweep),
        "curves": curves_of(drawn),
        "pictures": pictures_of(drawn),
        "latents": latents_of(drawn),
    }
