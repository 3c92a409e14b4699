"""W&B: each run's curves, images and final numbers. Whatever goes wrong there, the run goes on."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import numpy as np

from bench.configuration.job import Job
from bench.system.launchers import hidden
from bench.tracking.wandb_settings import SILENT, project, reachable_mode, server

# A longer one is refused, and with it the run.
LONGEST_TAG = 64
# Seconds that a server may take to open a run, and to take the rest of what was logged.
OPENING, CLOSING = 30.0, 60.0
# What curves are drawn against: optimizer steps. The name is Lightning's.
STEP = "trainer/global_step"
# W&B's variables that speak of one run, which is not ours: an agent's, or what a shell still holds.
# The point of an agent's sweep, WANDB_SWEEP_PARAM_PATH, goes into the run's configuration. The SERVICE
# is a process of the one that started this, and may have ended.
OF_A_RUN = {
    f"WANDB_{name}"
    for name in (
        "RUN_ID RESUME RESUME_FROM FORK_FROM RUN_DIR NAME RUN_GROUP JOB_TYPE TAGS DIR REINIT MODE "
        "SWEEP_ID CONFIG CONFIG_PATHS LAUNCH LAUNCH_CONFIG_PATH SERVICE"
    ).split()
}
Note = Callable[[str], object]


def quiet_settings(sweep: str | None = None, **more):
    """Return settings of a W&B run that prints nothing and sends nothing about the machine.

    ``sweep`` is the id of the W&B sweep that it belongs to, if any; ``more`` are further settings.
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
        # Without it a killed run leaves an empty log.
        x_transaction_log_flush_interval=1,
        **({"sweep_id": sweep} if sweep else {}),
        **more,
    )


class Tracker:
    """A run's W&B side; without a W&B run it does nothing."""

    def __init__(self, run=None, note: Note = print):
        self.run, self.note, self.told = run, note, False

    def log(self, point: dict[str, float]) -> None:
        """Log a point of every curve; ``step`` is the number of optimizer steps taken before it."""
        if self.run is None:
            return
        try:
            self.run.log({STEP: point["step"]} | {k: v for k, v in point.items() if k != "step"})
        except Exception as error:  # its network or its disk: never the run's trouble
            if not self.told:
                self.note(f"W&B: curves are not logged: {error}")
            self.told = True

    def finish(self, record: dict, images: dict[str, np.ndarray]) -> None:
        """Log images, and the final numbers under the names of runs.csv's columns.

        The test split's numbers have the columns' own names, so that W&B's table and the CSV can
        be laid side by side; those of the training split stand under ``train/``.
        """
        if self.run is None:
            return
        import wandb

        from bench.records.row import row_of

        try:
            self.run.log({f"images/{name}": wandb.Image(image) for name, image in images.items()})
            for split, prefix in (("test", ""), ("train", "train/")):
                row = row_of(record, self.run.group, split)
                self.run.summary.update({prefix + k: v for k, v in row.items() if v is not None})
        except Exception as error:
            self.note(f"W&B: final numbers were not logged: {error}")


@contextmanager
def tracked(job: Job, task: str, wanted: bool, note: Note) -> Iterator[Tracker]:
    """Open a run's W&B side, and close it whatever happens, so that the next run gets its own.

    ``note`` is told what goes wrong with it.
    """
    run = open_run(job, task, note) if wanted and job.wandb_mode != "disabled" else None
    failed = True
    try:
        yield Tracker(run, note)
        failed = False
    finally:
        if run is not None:
            close(run, int(failed), note)


def close(run, exit_code: int, note: Note) -> None:
    log = run.settings.sync_dir
    try:
        run.finish(exit_code=exit_code)
    except TimeoutError:
        SILENT.add(server())
        note(f"W&B: the server did not take all of the log; `wandb sync {quote(log)}` sends it")
    except Exception as error:
        note(f"W&B: {error}")


def open_run(job: Job, task: str, note: Note):
    """Return a run's W&B run; offline if it cannot be opened as asked, None if not even so."""
    import wandb

    with hidden(OF_A_RUN.__contains__) as found:
        for mode in dict.fromkeys((reachable_mode(job.wandb_mode, note), "offline")):
            before = logs_of(job)
            try:
                # Else it tells, once in a process, where it found the key.
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
                        # As a variable W&B would take the agent's id for the run and not ours,
                        # which would make a second W&B run for one key.
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
                # Its service holds what could not be opened, and would refuse the same id.
                wandb.teardown()
                for stub in logs_of(job) - before:
                    shutil.rmtree(stub, ignore_errors=True)
    return None


def logs_of(job: Job) -> set[Path]:
    """Return the folders of a run's W&B logs, one for each attempt."""
    return set(Path(job.directory).glob(f"wandb/*run-*-{job.key}*"))


def offline_log(job: Job) -> Path | None:
    """Return the folder of a run's latest W&B log if that is offline; None if there is none."""
    # A name holds the time of its start.
    latest = max(logs_of(job), key=lambda path: path.name.removeprefix("offline-"), default=None)
    return latest if latest and latest.name.startswith("offline-") else None
