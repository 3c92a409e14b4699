"""A job: a run, and where its files and logs go."""

from dataclasses import dataclass

from bench.records.key import key_of
from bench.records.types import Config


@dataclass(frozen=True)
class Job:
    """A run, and where its files and logs go; ``config`` alone decides its numbers and its key.

    Attributes:
        config: Canonical configuration.
        model: The model's name in tables.
        sweep: The sweep's name, for W&B's group.
        directory: Folder of this run's checkpoints and logs.
        wandb_mode: offline, online or disabled.
        storage: Folder or fsspec address of this run's checkpoints, from which another machine can
            resume it; empty is ``directory``.
    """

    config: Config
    model: str
    sweep: str
    directory: str
    wandb_mode: str = "offline"
    storage: str = ""

    @property
    def key(self) -> str:
        return key_of(self.config)

    @property
    def checkpoints(self) -> str:
        """Folder or fsspec address of this run's checkpoints."""
        return self.storage or self.directory
