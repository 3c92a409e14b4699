"""The job that a worker is handed: a run and where it belongs."""

from dataclasses import dataclass
from typing import Any

from bench.records.key import key_of


@dataclass(frozen=True)
class Job:
    """A run and where it belongs; only ``config`` decides its numbers, and its key.

    Attributes:
        config: Canonical configuration.
        model: The name that tables show.
        sweep: The sweep's name, for W&B's group.
        directory: Where checkpoints and logs of this run go.
        wandb_mode: offline, online or disabled.
        storage: Folder or fsspec address that checkpoints of this run go to, so that another
            machine can go on with it; empty is ``directory``.
    """

    config: dict[str, Any]
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
        """Where this run's checkpoints are."""
        return self.storage or self.directory
