"""W&B: curves, images and final numbers of each run. No error of W&B ends a run."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.configuration.job import Job
from bench.records.types import SPLITS, TableRecord
from bench.system.launchers import hidden
from bench.tracking.wandb_settings import SILENT, Note, project, reachable_mode, server

if TYPE_CHECKING:
    import wandb

# W&B refuses a run with a longer tag.
LONGEST_TAG = 64
# Seconds that a server may take to open a run, and to receive the rest of its log.
OPENING, CLOSING = 30.0, 60.0
# The horizontal axis of curves: optimizer steps. The name is Lightning's.
STEP = "trainer/global_step"
# W&B's variables of one run, which is another one: that of an agent, or of an earlier command in this
# shell. The point of an agent's sweep, WANDB_SWEEP_PARAM_PATH, stays: it goes into the run's
# configuration. SERVICE is a process of the parent, which may have ended.
OF_A_RUN = {
    f"WANDB_{name}"
    for name in (
        "RUN_ID RESUME RESUME_FROM FORK_FROM RUN_DIR NAME RUN_GROUP JOB_TYPE TAGS DIR REINIT MODE "
        "SWEEP_ID CONFIG CONFIG_PATHS LAUNCH LAUNCH_CONFIG_PATH SERVICE"
    ).split()
}


def quiet_settings(sweep: str | None = None, **more: Any) -> "wandb.Settings":
    """Return settings of a W&B run that prints nothing and sends nothing about the machine.

    Args:
        sweep: The id of the W&B sweep that the run belongs to, if any.
        more: Further settings.
    """
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",
        x_disable_stats=True,
        x_disable_meta=True,
        x_save_requirements=False,
        save_code=False,
        disable_git=True,
        init_timeout=OPENING,
        # Without this setting a killed run leaves an empty log.
        x_transaction_log_flush_interval=1,
        **({"sweep_id": sweep} if sweep else {}),
        **more,
    )


class Tracker:
    """Logs a run to W&B; without a W&B run it does nothing."""

    def __init__(self, run: "wandb.Run | None" = None, note: Note = print) -> None:
        self.run, self.note, self.has_failed = run, note, False

    def log(self, point: dict[str, float]) -> None:
        """Log a point of every curve; its ``step`` is the number of optimizer steps before it."""
        if self.run is None:
            return
        try:
            self.run.log({STEP: point["step"]} | {k: v for k, v in point.items() if k != "step"})
        except Exception as error:  # of W&B's network or disk, which must not end the run
            if not self.has_failed:
                self.note(f"W&B: curves are not logged: {error}")
            self.has_failed = True

    def finish(self, record: TableRecord, images: dict[str, NDArray[np.uint8]]) -> None:
        """Log images, and the final numbers under the names of runs.csv's columns.

        Numbers of the test split have the names of the columns, so that W&B's table and the CSV can
        be compared. Those of the training split have the prefix ``train/``.
        """
        if self.run is None:
            return
        import wandb

        from bench.records.row import row_of

        try:
            self.run.log({f"images/{name}": wandb.Image(image) for name, image in images.items()})
            for split in reversed(SPLITS):
                prefix = "train/" if split == "train" else ""
                row = row_of(record, self.run.group, split)
                self.run.summary.update({prefix + k: v for k, v in row.items() if v is not None})
        except Exception as error:
            self.note(f"W&B: final numbers were not logged: {error}")


@contextmanager
def tracked(job: Job, task: str, wanted: bool, note: Note) -> Iterator[Tracker]:
    """Open a run's W&B run, and close it whatever happens, so that the next run gets its own.

    Args:
        job: The run.
        task: Its task's name.
        wanted: Whether to log it; False gives a tracker that does nothing.
        note: Called with each error of W&B.
    """
    run = open_run(job, task, note) if wanted and job.wandb_mode != "disabled" else None
    failed = True
    try:
        yield Tracker(run, note)
        failed = False
    finally:
        if run is not None:
            close(run, int(failed), note)


def close(run: "wandb.Run", exit_code: int, note: Note) -> None:
    """Close a W&B run; ``note`` is called with its error, if any."""
    log = run.settings.sync_dir
    try:
        run.finish(exit_code=exit_code)
    except TimeoutError:
        SILENT.add(server())
        note(f"W&B: the server did not receive all of the log; `wandb sync {quote(log)}` sends it")
    except Exception as error:
        note(f"W&B: {error}")


def open_run(job: Job, task: str, note: Note) -> "wandb.Run | None":
    """Return a run's W&B run, offline if it cannot be opened in its mode; None if that fails too."""
    with hidden(OF_A_RUN.__contains__) as found:
        if (first := reachable_mode(job.wandb_mode, note)) == "disabled":
            return None
        import wandb

        for mode in dict.fromkeys((first, "offline")):
            before = logs_of(job)
            try:
                # Otherwise W&B prints, once in a process, where it found the key.
                wandb.setup(wandb.Settings(silent=True))
                run = wandb.init(
                    project=project(),
                    id=job.key,
                    name=f"{task} {job.model} seed {job.config['seed']}",
                    group=job.sweep,
                    job_type="train",
                    tags=[tag[:LONGEST_TAG] for tag in (task, job.model)],
                    config=job.config,
                    dir=job.directory,
                    mode=mode,
                    resume="allow" if mode == "online" else None,
                    settings=quiet_settings(
                        # Given as a variable, it would also replace our id by the agent's, which
                        # makes a second W&B run for one key.
                        found.get("WANDB_SWEEP_ID"),
                        reinit="create_new",
                        finish_timeout=CLOSING,
                        finish_timeout_raises=True,
                    ),
                )
                run.define_metric(STEP)
                run.define_metric("*", step_metric=STEP, step_sync=True)
                return run
            except Exception as error:
                note(f"W&B ({mode}): {' '.join(str(error).split())}")
                if mode == "online":
                    SILENT.add(server())
                # W&B's service keeps the run that failed to open, and would refuse the same id.
                wandb.teardown()
                for stub in logs_of(job) - before:
                    shutil.rmtree(stub, ignore_errors=True)
    return None


def logs_of(job: Job) -> set[Path]:
    """Return the folders of a run's W&B logs, one for each attempt."""
    return set(Path(job.directory).glob(f"wandb/*run-*-{job.key}*"))


def offline_log(job: Job) -> Path | None:
    """Return the folder of a run's latest W&B log if that is offline; None if there is none."""
    # The name contains the time of the start.
    latest = max(logs_of(job), key=lambda path: path.name.removeprefix("offline-"), default=None)
    return latest if latest and latest.name.startswith("offline-") else None
