"""What the page holds of a task, as plain data: leaderboard, runs, curves and pictures."""

from base64 import b64decode, b64encode
from collections import Counter

import pandas as pd

from bench.records.row import METRICS, SPLITS, row_of
from bench.report.shown import CURVES, by_model, decoded, visible_range
from bench.report.tables import SHOWN, texts_of_task

# The most that one file holds; the CSVs hold the rest.
MOST_RUNS = 10_000
# Points of a curve: more than there are pixels to draw them on would be for nothing.
MOST_POINTS = 200
# Kinds of pictures in the order shown.
PICTURES = {
    "data": "test data",
    "reconstructions": "reconstructions",
    "samples": "samples",
    "samples_aggregate": "samples from q_agg",
}
ESTIMATES = ("bits_per_dim", "bits_per_dim_stderr", *METRICS[1:])


def board_of(board: pd.DataFrame, runs: list[dict]) -> list[dict]:
    """Return the rows of a task's leaderboard: numbers to sort and draw by, and texts to show.

    Args:
        board: The leaderboard of this task.
        runs: All records of the task, as ``load_sweep`` returns them.
    """
    dirty = Counter(record["model"] for record in runs if record["environment"]["dirty"])
    numbers = ["rank", "seeds", "failed", "importance_samples", "bits_per_dim_low"]
    numbers += ["bits_per_dim_high", "log_n", *(name for name, *_ in SHOWN)]
    rows = []
    for texts, (_, row) in zip(texts_of_task(board), board.iterrows()):
        made = {name: plain(row[name]) for name in numbers}
        made["model"] = row["model"]
        made["bound"] = None if pd.isna(row["bound"]) else row["bound"]
        made["dirty"] = dirty[row["model"]]
        made["text"] = texts
        rows.append(made)
    return rows


def plain(value) -> float | int | None:
    """Return a cell of a table as JSON knows it."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def runs_of(records: list[dict], sweep: str) -> dict:
    """Return a task's runs column by column, and each distinct text of them once."""
    first = ("key", "model", "seed", "status", "bound", "parameters", "epochs", "best_epoch")
    runs: dict = {name: [record.get(name) for record in records] for name in first}
    runs["reason"] = [record.get("reason") for record in records]
    runs["dirty"] = [bool(record["environment"]["dirty"]) for record in records]
    for split in SPLITS:
        rows = [row_of(record, sweep, split) for record in records]
        columns = {name: [row[name] for row in rows] for name in ESTIMATES}
        runs[split] = {name: c for name, c in columns.items() if any(v is not None for v in c)}
    names = dict.fromkeys(name for record in records for name in record["timing"])
    runs["timing"] = {name: [record["timing"].get(name) for record in records] for name in names}
    for name in ("config", "environment"):
        texts = [record[f"{name}_text"] for record in records]
        positions = {text: position for position, text in enumerate(dict.fromkeys(texts))}
        runs[f"{name}s"] = list(positions)
        runs[name] = [positions[text] for text in texts]
    return runs


def curves_of(drawn: list[dict]) -> list[dict]:
    """Return each model's training curves, a line for each seed."""
    curves = []
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


def thinned(points: list[dict]) -> list[dict]:
    """Return at most MOST_POINTS of a curve's points, evenly, the last among them."""
    step = -(-len(points) // MOST_POINTS)
    return points[::-1][::step][::-1] if points else []


def shortened(value: float) -> float:
    """Return a number to six digits: all that can be seen of it in a figure."""
    return float(f"{value:.6g}")


def pictures_of(drawn: list[dict]) -> dict:
    """Return one seed's pictures of each model, as PNGs in base64, and the largest width in pixels."""
    firsts = [group[0] for group in by_model(drawn).values()]
    rows, widths = [], [1]
    for record in firsts:
        images = {}
        for kind in PICTURES:
            if kind in record["images"]:
                title = f"{record['model']}, {kind}"
                widths.append(decoded(record["images"][kind], title).shape[1])
                # Encoded anew: whatever is no base64 was left out by the decoder.
                images[kind] = b64encode(b64decode(record["images"][kind])).decode()
        if images:
            rows.append({"model": record["model"], "seed": record["seed"], "images": images})
    data = next((row["images"]["data"] for row in rows if "data" in row["images"]), None)
    for row in rows:
        # All models of a task are shown the same test images.
        row["images"].pop("data", None)
    return {"data": data, "rows": [r for r in rows if r["images"]], "width": max(widths)}


def latents_of(drawn: list[dict]) -> list[dict]:
    """Return one seed's map of its latent space of each model that has one."""
    firsts = [group[0] for group in by_model(drawn).values()]
    return [
        {"model": record["model"], "seed": record["seed"]} | record["latent"]
        for record in firsts
        if record.get("latent") is not None
    ]


def task_of(task: str, sweep: str, runs: list[dict], board: pd.DataFrame, drawn: list[dict]):
    """Return everything that the page holds of a task but its leaderboard.

    Args:
        task: Its name.
        sweep: The sweep's name.
        runs: The records to list, as ``load_sweep`` returns them.
        board: The leaderboard of this task.
        drawn: Whole records of the runs whose curves and pictures are shown.
    """
    rank = {model: position for position, model in enumerate(board["model"])}
    drawn = sorted(drawn, key=lambda record: rank.get(record["model"], len(rank)))
    return {
        "runs": runs_of(runs, sweep),
        "curves": curves_of(drawn),
        "pictures": pictures_of(drawn),
        "latents": latents_of(drawn),
    }
