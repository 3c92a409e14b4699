"""What a sweep's W&B report shows: plain data, made of its tables alone, and W&B's objects of it."""

import pandas as pd

from bench.report.tables import markdown

# Axes of the parallel coordinates: (name, is less better).
AXES = (
    ("task", False),
    ("model", False),
    ("seed", False),
    ("beta", False),
    ("parameters", False),
    ("mutual_information", False),
    ("marginal_kl", False),
    ("bits_per_dim", True),
)
DECOMPOSITION = ("reconstruction", "mutual_information", "marginal_kl")
CURVES = ("train_elbo", "validation_elbo")
IMAGES = ("images/data", "images/samples", "images/reconstructions")


def specification(sweep: str, board: pd.DataFrame) -> dict:
    """Return the report of a sweep as plain data.

    Args:
        sweep: The sweep's name, which is the group of its runs in W&B.
        board: leaderboard.csv.

    Returns:
        title, description, group, text (Markdown), and one list of panels for each task: each has
        a kind (table columns, parallel coordinates, bars, curves, media) and what it shows. The
        names of numbers are the columns of runs.csv.
    """
    tasks = [
        {
            "task": task,
            "panels": [
                {"kind": "parallel coordinates", "axes": [list(axis) for axis in AXES]},
                {"kind": "bars", "title": "ELBO taken apart (nats)", "columns": [*DECOMPOSITION]},
                {"kind": "curves", "title": "ELBO (nats)", "columns": [*CURVES]},
                {"kind": "media", "keys": [*IMAGES]},
            ],
        }
        for task in board["task"].unique()
    ]
    return {
        "title": f"Likelihood Bench: {sweep}",
        "description": "bits/dim, the ELBO and its exact decomposition; names are runs.csv's columns",
        "group": sweep,
        "text": markdown(board),
        "columns": ["bits_per_dim", "log_likelihood", "elbo", *DECOMPOSITION, "active_units"],
        "tasks": tasks,
    }


def blocks_of(content: dict, entity: str = "", project: str = "") -> list:
    """Return W&B's blocks for a specification; without entity and project none is looked up.

    Raises:
        ImportError: wandb-workspaces is not installed.
    """
    import wandb_workspaces.reports.v2 as wr

    blocks: list = [wr.TableOfContents(), wr.H1("Leaderboard"), wr.MarkdownBlock(content["text"])]
    for part in content["tasks"]:
        runs = wr.Runset(
            entity=entity,
            project=project,
            name=part["task"],
            # A task is a tag of its runs, and the sweep their group.
            filters=f"Metric('group') == {content['group']!r} and Metric('tags') in [{part['task']!r}]",
            visible_columns=[f"summary:{name}" for name in content["columns"]],
            order=[wr.OrderBy(wr.SummaryMetric("bits_per_dim"), ascending=True)],
        )
        panels = [panel_of(panel, wr) for panel in part["panels"]]
        blocks += [wr.H1(part["task"]), wr.PanelGrid(runsets=[runs], panels=panels)]
    return blocks


def panel_of(panel: dict, wr):
    if panel["kind"] == "parallel coordinates":
        columns = [
            wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(name), inverted=inverted)
            for name, inverted in panel["axes"]
        ]
        return wr.ParallelCoordinatesPlot(columns=columns)
    if panel["kind"] == "bars":
        metrics = [wr.SummaryMetric(name) for name in panel["columns"]]
        return wr.BarPlot(title=panel["title"], metrics=metrics)
    if panel["kind"] == "curves":
        return wr.LinePlot(title=panel["title"], y=list(panel["columns"]))
    return wr.MediaBrowser(media_keys=panel["keys"], mode="grid")
