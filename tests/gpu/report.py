"""Turns the lines of a GPU check into results/gpu/: a table for each part, and a figure.

python -m tests.gpu.report gpu-out/gpu.jsonl results/gpu
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from bench.records.tables import csv_text
from bench.report.png import figure_png
from bench.system.files import write_atomically

Line = dict[str, Any]


def read_lines(path: Path) -> list[Line]:
    """Return the lines. Raises SystemExit if there is none, or if one is of a dry run."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if not lines:
        raise SystemExit(f"{path} has no lines")
    if any(line["card"].startswith("CPU") for line in lines):
        raise SystemExit(f"{path} has lines of a dry run on a CPU, which are no results")
    return lines


def write(lines: list[Line], directory: Path) -> dict[str, pd.DataFrame]:
    """Write a table of each part's lines, with the name of the card in every row, and the figure."""
    tables = {}
    for part in dict.fromkeys(line["part"] for line in lines):
        own = [line for line in lines if line["part"] == part]
        table = pd.json_normalize(own).drop(columns=["part", "at"])
        table = table[[*[name for name in table.columns if name != "card"], "card"]]
        write_atomically(directory / f"{part}.csv", csv_text(table))
        tables[part] = table
    draw(tables, directory / "gpu.png")
    return tables


def draw(tables: dict[str, pd.DataFrame], path: Path) -> None:
    """Draw the times of steps beside their floors, and the steps a second of many runs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    draw_steps(left, measured(tables, "steps", "ms"))
    for part, size, label in (
        ("packing", "processes", "processes"),
        ("stacked", "runs", "runs of one stacked model"),
    ):
        table = measured(tables, part, "steps_a_second")
        for model in dict.fromkeys(table.get("model", [])):
            own = table[table["model"] == model]
            right.plot(own[size], own["steps_a_second"], marker="o", label=f"{model}, {label}")
    right.set_xlabel("trainings at once on one card")
    right.set_ylabel("steps per second, of all together")
    right.set_xscale("log", base=2)
    right.set_ylim(bottom=0)
    if right.lines:
        right.legend(fontsize=7)
    cards = {card for table in tables.values() for card in table["card"]}
    figure.suptitle(", ".join(sorted(cards)))
    path.write_bytes(figure_png(figure, dpi=130))
    pyplot.close(figure)


def measured(tables: dict[str, pd.DataFrame], part: str, column: str) -> pd.DataFrame:
    """Return the rows of a part that have a number; its errors have none."""
    table = tables.get(part, pd.DataFrame())
    return table[table[column].notna()] if column in table else pd.DataFrame()


def draw_steps(axes: Any, table: pd.DataFrame) -> None:
    bars = {
        "ms": "a step of training",
        "busy_ms": "its kernels",
        "launch_floor_ms": "launches of as many kernels",
        "products_ms": "its matrix products alone",
    }
    shown = [name for name in bars if name in table]
    for position, name in enumerate(shown):
        height = 0.8 / len(shown)
        places = [row + position * height for row in range(len(table))]
        axes.barh(places, table[name], height, label=bars[name])
    if shown:
        axes.set_yticks([row + 0.3 for row in range(len(table))], table["model"], fontsize=7)
        axes.invert_yaxis()
        axes.legend(fontsize=7)
    axes.set_xlabel("milliseconds per step")
    axes.set_ylabel("recipe of the sweep on MNIST")


def main(arguments: list[str]) -> int:
    path, directory = map(Path, arguments)
    for part, table in write(read_lines(path), directory).items():
        print(f"\n{part}\n{table.to_string(index=False)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
