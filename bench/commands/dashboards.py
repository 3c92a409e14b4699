"""The command ``bench dashboard``."""

import json
from pathlib import Path

from bench.commands.call import call
from bench.system.printing import say


def dashboard(arguments: list[str]) -> int:
    return call(run_dashboard, "dashboard", arguments)


def run_dashboard(
    sweep: str = "default",
    results: str = "results",
    entity: str | None = None,
    project: str | None = None,
    dry_run: bool = False,
) -> int:
    """Send a sweep to W&B: logs, tables and checkpoints as artifacts, and a report.

    Args:
        sweep: The sweep's name.
        results: Folder of all results.
        entity: Owner of the W&B project; your default if not given.
        project: The W&B project; if not given, WANDB_PROJECT, else likelihood-bench.
        dry_run: Print the content as JSON, including the report's specification, and send nothing.
            Needs neither network nor login.
    """
    from bench.tracking.dashboard.content import content_of
    from bench.tracking.wandb_settings import project as default_project

    project = project or default_project()
    content = content_of(Path(results) / sweep)
    if dry_run:
        from bench.tracking.dashboard.specification import plan_of

        for line in json.dumps(plan_of(content, project, entity or ""), indent=1).split("\n"):
            say(line)
        return 0
    from bench.tracking.dashboard.upload import upload

    say(f"report: {upload(content, project, entity)}")
    return 0
