"""W&B: each run's curves, images and final numbers. Whatever goes wrong there, the run goes on."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np

from bench.config import Job
from bench.errors import InputError

PROJECT = "likelihood-bench"
# A longer one is refused, and with it the run.
LONGEST_TAG = 64
# Where `wandb login` keeps its key: the present default of W&B's server, and the former one.
HOSTS = ("api.forge.coreweave.com", "api.wandb.ai")
Note = Callable[[str], None]
WandbMode = Literal["auto", "offline", "online", "disabled"]


def resolve_wandb_mode(chosen: WandbMode) -> str:
    """Return offline, online or disabled: what was chosen, else WANDB_MODE, else by the login."""
    if chosen != "auto":
        return chosen
    given = os.environ.get("WANDB_MODE")
    if given:
        if given not in ("offline", "online", "disabled"):
            raise InputError(f"WANDB_MODE: '{given}' is none of offline, online, disabled")
        return given
    return "online" if logged_in() else "offline"


def logged_in() -> bool:
    """Tell whether there is a key for W&B's server, or for that of WANDB_BASE_URL."""
    # Asking W&B itself takes a second of imports; these are the two places where it looks.
    from netrc import NetrcParseError, netrc
    from urllib.parse import urlsplit

    if os.environ.get("WANDB_API_KEY"):
        return True
    own = os.environ.get("WANDB_BASE_URL")
    try:
        hosts = [urlsplit(own).netloc] if own else HOSTS
    except ValueError as error:
        raise InputError(f"WANDB_BASE_URL: '{own}' is no address: {error}") from None
    if not all(hosts):
        raise InputError(f"WANDB_BASE_URL: '{own}' is no address such as https://api.wandb.ai")
    try:
        known = netrc(os.environ.get("NETRC"))
    except (OSError, UnicodeDecodeError, NetrcParseError):
        return False
    return any(known.authenticators(host) for host in hosts)


@contextmanager
def agents_sweep() -> Iterator[str | None]:
    """Give the id of the W&B sweep whose agent started this process, if one did, and hide it.

    Where W&B finds it itself, it takes the agent's id for the run and not ours, which would make
    a second W&B run for one key. Given as a setting it decides the sweep alone.
    """
    name = "WANDB_SWEEP_ID"
    sweep = os.environ.pop(name, None)
    try:
        yield sweep
    finally:
        if sweep is not None:
            os.environ[name] = sweep


def quiet_settings(sweep: str | None = None):
    """Return settings of a W&B run that prints nothing and sends nothing about the machine.

    ``sweep`` is the id of the W&B sweep that it belongs to, if any.
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
        init_timeout=30,
        # Without it a killed run leaves an empty log.
        x_transaction_log_flush_interval=1,
        **({"sweep_id": sweep} if sweep else {}),
    )


class Tracker:
    """A run's W&B side; without a logger it does nothing."""

    def __init__(self, logger=None, note: Note = print):
        self.logger, self.note = logger, note

    def curves(self, history: list[dict]) -> None:
        """Log curves that were not logged while they grew."""
        for row in history if self.logger is not None else []:
            self.logger.log_metrics({k: v for k, v in row.items() if k != "epoch"}, row["epoch"])

    def finish(self, record: dict, images: dict[str, np.ndarray]) -> None:
        """Log images, and the final numbers under the names of runs.csv's columns.

        The test split's numbers have the columns' own names, so that W&B's table and the CSV can
        be laid side by side; those of the training split stand under ``train/``.
        """
        if self.logger is None:
            return
        import wandb

        from bench.report.reduce import row_of

        try:
            run = self.logger.experiment
            run.log({f"images/{name}": wandb.Image(image) for name, image in images.items()})
            for split, prefix in (("test", ""), ("train", "train/")):
                row = row_of(record, run.group, split)
                run.summary.update({prefix + k: v for k, v in row.items() if v is not None})
        except Exception as error:  # its network or its disk: never the run's trouble
            self.note(f"W&B: final numbers were not logged: {error}")


@contextmanager
def tracked(job: Job, task: str, wanted: bool, note: Note) -> Iterator[Tracker]:
    """Open a run's W&B side, and close it whatever happens, so that the next run gets its own.

    ``note`` is told what goes wrong with it.
    """
    if not wanted or job.wandb_mode == "disabled":
        yield Tracker()
        return
    import wandb

    tracker = Tracker(open_logger(job, task, note), note)
    failed = True
    try:
        yield tracker
        failed = False
    finally:
        try:
            wandb.finish(exit_code=int(failed))
        except Exception as error:
            note(f"W&B: {error}")


def open_logger(job: Job, task: str, note: Note):
    """Return Lightning's W&B logger for a run; offline if it cannot be opened as asked."""
    from pytorch_lightning.loggers import WandbLogger

    class Forgiving(WandbLogger):
        """W&B's logger, whose trouble is told once and ends no training."""

        told = False

        def log_metrics(self, metrics, step=None) -> None:
            try:
                super().log_metrics(metrics, step)
            except Exception as error:
                if not self.told:
                    note(f"W&B: curves are not logged: {error}")
                self.told = True

    with agents_sweep() as sweep:
        for mode in dict.fromkeys((job.wandb_mode, "offline")):
            try:
                logger = Forgiving(
                    project=PROJECT,
                    id=job.key,
                    name=f"{task} {job.model} seed {job.config['seed']}",
                    group=job.sweep,
                    job_type="train",
                    tags=[tag[:LONGEST_TAG] for tag in (task, job.model)],
                    config=job.config,
                    save_dir=job.directory,
                    mode=mode,
                    resume="allow" if mode == "online" else None,
                    settings=quiet_settings(sweep),
                )
                # Opened now, where its failure can be caught.
                return logger if logger.experiment else None
            except Exception as error:
                note(f"W&B ({mode}): {error}")
    return None
