"""The W&B report of a sweep, made from its tables. Needs no network, no login and no files."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.errors import InputError
from bench.report.tables import markdown
from bench.tracking.dashboard.content import Content

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2.interface import PanelGrid, Report

# W&B's job types of a sweep's runs, and of the run that holds its leaderboard.
TRAIN, REPORT = "train", "report"
TABLE = "leaderboard"
DECOMPOSITION = ("reconstruction", "mutual_information", "marginal_kl")
# Axes of the matrix, and columns that become axes if the sweep's runs differ in them.
MATRIX = ("task", "model", "seed", "beta")
DESCRIBED = ("decoder", "prior", "parameters", "epochs")
# Columns of runs.csv that W&B's table of runs shows, in this order.
SHOWN = (
    "model",
    "seed",
    "bits_per_dim",
    "bits_per_dim_stderr",
    "elbo",
    *DECOMPOSITION,
    "kl",
    "log_n",
    "inference_gap",
    "effective_sample_size_median",
    "bound_rise",
    "active_units",
    "sharpness",
    "beta",
    "parameters",
    "epochs",
    "status",
)


def workspaces() -> Any:
    """Return wandb_workspaces.reports.v2. Raises InputError if the extra is not installed."""
    try:
        import wandb_workspaces.reports.v2 as reports
    except ImportError as error:
        missing = (error.name or "wandb_workspaces").partition(".")[0].replace("_", "-")
        raise InputError(
            f"dashboard: the package {missing} is missing: "
            "pip install 'likelihood-bench[dashboard]'"
        ) from None
    return reports


def title_of(sweep: str) -> str:
    """Return the report's title; a second upload finds the first by it."""
    return f"Likelihood Bench {sweep}"


def plan_of(content: Content, project: str, entity: str) -> dict[str, object]:
    """Return everything that would be sent, as plain data: logs, artifacts, report."""
    artifacts: dict[str, dict[str, object]] = {
        name: {"type": kind, "run": key, "files": [str(path)]}
        for name, (kind, key, path) in content.files.items()
    }
    artifacts[f"{content.sweep}-leaderboard"] = {
        "type": "leaderboard",
        "run": f"report-{content.sweep}",
        "uses": list(content.files),
        "files": [str(path) for path in content.tables],
    }
    model = report_of(content, project, entity)._to_model()
    return {
        "logs": {key: [str(log) for log in logs] for key, logs in content.logs.items()},
        "online": sorted(content.online),
        "artifacts": artifacts,
        "report": model.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def report_of(content: Content, project: str, entity: str = "") -> "Report":
    """Return the W&B report of a sweep, not yet saved.

    Its sets of runs have no project yet: only the server knows a project's number.

    Args:
        content: The sweep.
        project: The W&B project.
        entity: Its owner; empty is the logged-in user's default.
    """
    sweep, board, runs = content.sweep, content.board, content.runs
    wr = workspaces()
    blocks = [
        wr.MarkdownBlock(text=introduction(sweep)),
        wr.MarkdownBlock(text=markdown(board, in_wandb_markdown)),
        wr.PanelGrid(
            runsets=[wr.Runset(name="leaderboard", filters=chosen(sweep, REPORT))],
            hide_run_sets=True,
            panels=[wr.WeavePanelSummaryTable(table_name=TABLE, layout=wr.Layout(w=24, h=12))],
        ),
    ]
    trained = runs[(runs["split"] == "test") & (runs["epochs"] > 0)]
    if len(trained):
        blocks += [wr.H2(text="The matrix"), matrix_grid(sweep, trained, content.options)]
    for task in dict.fromkeys(trained["task"]):
        blocks += [wr.H2(text=task), models_grid(sweep, task)]
        blocks.append(runs_grid(sweep, task, content.images))
    return wr.Report(project=project, entity=entity, title=title_of(sweep), blocks=blocks)


def introduction(sweep: str) -> str:
    return (
        f"Sweep `{sweep}`: bits/dim of the test split with the half width of the 95 % interval "
        "over seeds, lower is better; all else in nats per image. Ranks compare models within a task. "
        "The second table has every digit of `leaderboard.csv`. That file and `runs.csv` are the "
        f"artifact `{sweep}-leaderboard`, whose lineage leads to the runs. A run's id is its key, and "
        "its summary has the columns of `runs.csv`."
    )


def in_wandb_markdown(value: str) -> str:
    """Return text escaped for W&B's Markdown."""
    for sign in "\\`*_{}[]<>#|~$!":
        value = value.replace(sign, f"\\{sign}")
    return " ".join(value.split())


def chosen(sweep: str, kind: str, task: str | None = None) -> str:
    """Return the filter for a sweep's runs of one kind, and of one task."""
    words = [f"Metric('Group') == '{sweep}'", f"Metric('JobType') == '{kind}'"]
    if task is not None:
        words.append(f"SummaryMetric('task') == '{task}'")
    return " and ".join(words)


def matrix_grid(sweep: str, trained: pd.DataFrame, options: Iterable[str]) -> "PanelGrid":
    """Return the parallel coordinates of all runs. ``trained`` has their rows of the test split."""
    wr = workspaces()
    names = [name for name in DESCRIBED if trained[name].nunique(dropna=False) > 1]
    columns = [(wr.SummaryMetric(name), name) for name in (*MATRIX, *names)]
    columns += [(wr.Config(path), path.rpartition(".")[2]) for path in options]
    columns += [(wr.SummaryMetric(name), name) for name in (*DECOMPOSITION, "bits_per_dim")]
    plot = wr.ParallelCoordinatesPlot(
        title="Configuration and results of the runs",
        columns=[wr.ParallelCoordinatesPlotColumn(metric=m, display_name=n) for m, n in columns],
        layout=wr.Layout(w=24, h=12),
    )
    runset = wr.Runset(name="all runs", filters=chosen(sweep, TRAIN))
    return wr.PanelGrid(runsets=[runset], panels=[plot], hide_run_sets=True)


def models_grid(sweep: str, task: str) -> "PanelGrid":
    """Return the charts of a task's models, as means over seeds."""
    wr = workspaces()
    runset = wr.Runset(
        name=f"{task}, by model", filters=chosen(sweep, TRAIN, task), groupby=["summary.model"]
    )
    panels = [
        wr.BarPlot(
            title="Decomposition of the ELBO, nats",
            metrics=[wr.SummaryMetric(name) for name in DECOMPOSITION],
            layout=wr.Layout(w=12, h=10),
        ),
        wr.LinePlot(
            title="Validation bound, nats",
            x="epoch",
            y=["validation_elbo"],
            layout=wr.Layout(x=12, w=12, h=10),
        ),
    ]
    return wr.PanelGrid(runsets=[runset], panels=panels)


def runs_grid(sweep: str, task: str, images: Iterable[str]) -> "PanelGrid":
    """Return the table of a task's runs, best first, and their images."""
    wr = workspaces()
    runset = wr.Runset(
        name=task,
        filters=chosen(sweep, TRAIN, task),
        order=[wr.OrderBy(name=wr.SummaryMetric("bits_per_dim"), ascending=True)],
        pinned_columns=["run:displayName"],
        visible_columns=[f"summary:{name}" for name in SHOWN],
        lock_columns=True,
    )
    panels = []
    for place, name in enumerate(images):
        layout = wr.Layout(x=12 * (place % 2), y=10 * (place // 2), w=12, h=10)
        panels.append(wr.MediaBrowser(title=name, media_keys=[f"images/{name}"], layout=layout))
    return wr.PanelGrid(runsets=[runset], panels=panels)
