"""Upload of a sweep to W&B: its offline logs, its files as artifacts, and its report."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bench.errors import InputError, reason_of
from bench.system.launchers import hidden
from bench.system.printing import say
from bench.tracking.dashboard.content import Content
from bench.tracking.dashboard.specification import REPORT, TABLE, report_of, workspaces
from bench.tracking.logger import OF_A_RUN, quiet_settings
from bench.tracking.wandb_settings import logged_in

# Seconds that a request may take, and number of logs for one call of `wandb sync`.
TIMEOUT, AT_ONCE = 15, 200

if TYPE_CHECKING:
    import wandb


@dataclass(frozen=True)
class Place:
    """The W&B project that a sweep goes to, and a folder for W&B's temporary files."""

    entity: str
    project: str
    scratch: str

    def __str__(self) -> str:
        return f"{self.entity}/{self.project}"


def upload(content: Content, project: str, entity: str | None) -> str:
    """Send a sweep and return its report's address. What W&B already has is not sent again.

    Args:
        content: The sweep.
        project: The W&B project; it is made if there is none of that name.
        entity: Its owner; None is the logged-in user's default.

    Raises:
        InputError: The extra is not installed, nobody is logged in, there is no network, or W&B
            refuses something.
    """
    workspaces()
    if not logged_in():
        raise InputError("dashboard: not logged in to W&B; `wandb login`, or set WANDB_API_KEY")
    # Suppresses W&B's own output; W&B reads the variable when it is imported.
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    kept = "what was sent stays, and the same command resumes"
    with hidden(OF_A_RUN.__contains__):
        with one_line_errors("nothing was sent"):
            api = wandb.Api(timeout=TIMEOUT)
            owner = entity or api.default_entity
        with one_line_errors(kept), TemporaryDirectory() as scratch:
            place = Place(owner, project, scratch)
            sync(content, place)
            send_files(content, place, api)
            send_tables(content, place)
            return save_report(content, place, api)


@contextmanager
def one_line_errors(so_far: str) -> Iterator[None]:
    """Raise InputError for any error of W&B; ``so_far`` says what has been sent."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # W&B raises many types
        words = reason_of(error, 300)
        raise InputError(f"W&B: {words.rstrip('.')}; {so_far}") from None


def marker(log: Path, key: str) -> Path:
    """Return the file by which W&B marks an offline log as sent."""
    return log / f"run-{key}.wandb.synced"


def sync(content: Content, place: Place) -> None:
    """Send the offline logs, each under its run's id, so that sending one twice makes one run."""
    logs = {log: key for key, found in content.logs.items() for log in found}
    left = [log for log, key in logs.items() if not marker(log, key).is_file()]
    words = [sys.executable, "-m", "wandb", "sync", "--project", place.project]
    words += ["--entity", place.entity]
    for start in range(0, len(left), AT_ONCE):
        part = left[start : start + AT_ONCE]
        paths = [str(log.absolute()) for log in part]
        # In the scratch folder, because it writes a log of its own to the current folder.
        done = subprocess.run([*words, *paths], capture_output=True, text=True, cwd=place.scratch)
        unsent = [log for log in part if not marker(log, logs[log]).is_file()]
        if unsent:
            said = " ".join((done.stderr or done.stdout).split())[-200:]
            raise InputError(f"W&B: {len(unsent)} logs were not sent, first {unsent[0]}: {said}")
    say(f"logs: {len(left)} sent, {len(logs) - len(left)} there already")


def send_files(content: Content, place: Place, api: "wandb.Api") -> None:
    """Send records and checkpoints as artifacts of the runs that made them."""
    import wandb

    waiting: dict[str, list[wandb.Artifact]] = {}
    for name, (kind, key, path) in content.files.items():
        artifact = wandb.Artifact(name, type=kind)
        artifact.add_file(str(path))
        latest = f"{place}/{name}:latest"
        if not (api.artifact_exists(latest) and api.artifact(latest).digest == artifact.digest):
            waiting.setdefault(key, []).append(artifact)
    for key, artifacts in waiting.items():
        # `must`: otherwise W&B makes an empty run where there is none.
        with opened(place, id=key, resume="must") as run:
            for artifact in artifacts:
                run.log_artifact(artifact).wait()
    sent = sum(map(len, waiting.values()))
    say(f"records and checkpoints: {sent} sent, {len(content.files) - sent} there already")


def send_tables(content: Content, place: Place) -> None:
    """Send the tables as one artifact, of a run of type ``report`` that uses the runs' artifacts."""
    import wandb

    artifact = wandb.Artifact(f"{content.sweep}-leaderboard", type="leaderboard")
    for path in content.tables:
        artifact.add_file(str(path))
    own = {"id": f"report-{content.sweep}", "name": f"{content.sweep} leaderboard"}
    own |= {"group": content.sweep, "job_type": REPORT}
    with opened(place, resume="allow", **own) as run:
        for name in content.files:
            run.use_artifact(f"{place}/{name}:latest")
        run.log_artifact(artifact).wait()
        board = content.board.astype(object)
        run.log({TABLE: wandb.Table(dataframe=board.where(board.notna(), None))})


@contextmanager
def opened(place: Place, **settings: Any) -> "Iterator[wandb.Run]":
    """Open a W&B run online, also where WANDB_MODE has another mode for training."""
    import wandb

    run = wandb.init(
        entity=place.entity,
        project=place.project,
        dir=place.scratch,
        mode="online",
        settings=quiet_settings(),
        **settings,
    )
    failed = True
    try:
        yield run
        failed = False
    finally:
        run.finish(exit_code=int(failed))


def save_report(content: Content, place: Place, api: "wandb.Api") -> str:
    """Save the report, replacing that of an earlier call. Returns its address."""
    report = report_of(content, place.project, place.entity)
    for block in report.blocks:
        for runset in getattr(block, "runsets", []):
            runset.entity, runset.project = place.entity, place.project
    for earlier in api.reports(str(place)):
        if earlier.display_name == report.title:
            report.id = earlier.id
    return report.save().url
