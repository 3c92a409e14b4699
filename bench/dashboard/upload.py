"""From a sweep's folder to W&B: offline runs, artifacts with their lineage, and the saved report."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.dashboard.specification import blocks_of, specification
from bench.errors import InputError
from bench.report.reduce import read_manifest

# What a sweep's own artifact holds, where it is there.
TABLES = ("leaderboard.csv", "runs.csv", "claims.csv", "datapackage.json")


@dataclass(frozen=True)
class Upload:
    """What would be sent.

    Attributes:
        sweep: Name of the sweep, and of the group of its runs.
        offline: Folders of W&B's offline runs, whose ids are the runs' keys.
        files: {key: the run's record, and its best checkpoint where it is kept}.
        tables: Files of the sweep's own artifact.
        report: The specification of the report.
    """

    sweep: str
    offline: list[Path]
    files: dict[str, list[Path]]
    tables: list[Path]
    report: dict


def plan_upload(directory: Path) -> Upload:
    """Return what of a sweep would be sent; reads its folder alone.

    Raises:
        InputError: There is no sweep, or no leaderboard of it.
    """
    keys = read_manifest(directory)
    try:
        board = pd.read_csv(directory / "leaderboard.csv")
    except (OSError, ValueError):
        raise InputError(
            f"dashboard: no leaderboard.csv in {directory}; `make report` makes it"
        ) from None
    runs = [directory / "runs" / key for key in keys]
    files = {
        run.name: [run / name for name in ("record.json", "best.ckpt") if (run / name).is_file()]
        for run in runs
    }
    return Upload(
        sweep=directory.name,
        offline=[folder for run in runs for folder in sorted(run.glob("wandb/offline-run-*"))],
        files={key: own for key, own in files.items() if own},
        tables=[directory / name for name in TABLES if (directory / name).is_file()],
        report=specification(directory.name, board),
    )


def send(upload: Upload, entity: str, project: str) -> str:
    """Send everything and return the report's address. Doing it again adds nothing that is there.

    Offline runs keep their ids, which are the runs' keys; W&B keeps one version of an artifact
    whose content is the same.

    Raises:
        InputError: W&B cannot be reached, refuses, or an offline run could not be sent.
    """
    import wandb

    try:
        sync(upload.offline, entity, project)
        log_artifacts(wandb, upload, entity, project)
        return save_report(upload, entity, project)
    except (wandb.errors.Error, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"dashboard: W&B: {reason}; what was sent stays, the same command goes on"
        ) from None


def sync(offline: list[Path], entity: str, project: str) -> None:
    """Send offline runs that were not sent yet, with W&B's own command."""
    if not offline:
        return
    words = ["-m", "wandb", "sync", "--yes", "--project", project, "--entity", entity]
    done = subprocess.run(
        [sys.executable, *words, *map(str, offline)], capture_output=True, text=True
    )
    if done.returncode != 0:
        reason = " ".join((done.stderr or done.stdout).split())[-300:]
        raise InputError(f"dashboard: wandb sync: {reason}")


def log_artifacts(wandb, upload: Upload, entity: str, project: str) -> None:
    """Log each run's record and checkpoint as its artifact, and the tables as made of them all."""
    of = {"entity": entity, "project": project, "settings": wandb.Settings(silent=True)}
    for key, paths in upload.files.items():
        with wandb.init(id=key, job_type="train", resume="allow", group=upload.sweep, **of) as run:
            run.log_artifact(artifact_of(wandb, f"run-{key}", "model", paths))
    # One run of this kind for each sweep, however often it is sent.
    name = f"{upload.sweep}-report"
    with wandb.init(
        id=name, name=name, job_type="report", group=upload.sweep, resume="allow", **of
    ) as run:
        for key in upload.files:
            run.use_artifact(f"{entity}/{project}/run-{key}:latest")
        board = artifact_of(wandb, f"{upload.sweep}-leaderboard", "leaderboard", upload.tables)
        run.log_artifact(board)
        run.log({"leaderboard": wandb.Table(dataframe=pd.read_csv(upload.tables[0]))})


def artifact_of(wandb, name: str, kind: str, paths: list[Path]):
    artifact = wandb.Artifact(name, type=kind)
    for path in paths:
        artifact.add_file(str(path), name=path.name)
    return artifact


def save_report(upload: Upload, entity: str, project: str) -> str:
    import wandb_workspaces.reports.v2 as wr

    content = upload.report
    report = wr.Report(
        entity=entity,
        project=project,
        title=content["title"],
        description=content["description"],
        blocks=blocks_of(content, entity, project),
        width="fluid",
    )
    report.save()
    return report.url
