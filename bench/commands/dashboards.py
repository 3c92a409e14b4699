"""Commands for W&B: ``bench dashboard``."""

import json
from pathlib import Path

from bench.commands.call import call
from bench.errors import InputError
from bench.tracking import PROJECT, resolve_wandb_mode


def dashboard(arguments: list[str]) -> int:
    return call(run_dashboard, "dashboard", arguments)


def run_dashboard(
    sweep: str = "default",
    results: str = "results",
    entity: str | None = None,
    project: str = PROJECT,
    dry_run: bool = False,
) -> int:
    """Send a sweep to W&B: offline runs, checkpoints and tables as artifacts, a saved report.

    Args:
        sweep: The sweep's name.
        results: Folder of all results.
        entity: W&B user or team; your default one if not given.
        project: W&B project.
        dry_run: Print what would be sent; needs neither login nor network.
    """
    from bench.dashboard.upload import plan_upload, send

    upload = plan_upload(Path(results) / sweep)
    if dry_run:
        print(json.dumps(upload.report, indent=1, ensure_ascii=False))
        for key, paths in upload.files.items():
            print(f"artifact run-{key}: {', '.join(path.name for path in paths)}")
        print(f"artifact {sweep}-leaderboard: {', '.join(path.name for path in upload.tables)}")
        print(f"{len(upload.offline)} offline runs to send; nothing was sent")
        return 0
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError:
        raise InputError(
            "dashboard: wandb-workspaces is not installed; "
            "`pip install 'likelihood-bench[dashboard]'` brings it"
        ) from None
    if resolve_wandb_mode("auto") != "online":
        raise InputError("dashboard: not logged in to W&B; `wandb login` does that, once")
    import wandb

    if entity is None:
        try:
            entity = wandb.Api(timeout=30).default_entity
        except (wandb.errors.Error, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"dashboard: W&B cannot be reached: {reason}") from None
    print(f"report: {send(upload, entity, project)}")
    return 0
