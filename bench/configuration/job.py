"""A job: a run, and where its files and logs go."""

from dataclasses import dataclass

from bench.configuration.load_plugin import load_plugin
from bench.configuration.plugins import check_loaded, used_by
from bench.data.places import PLACES
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
        plugins: What loads the plugins of its model in another process. None stands for those that
            this process has loaded.
        images: Where images of the user's own lie; None stands for where this process knows them to be.
    """

    config: Config
    model: str
    sweep: str
    directory: str
    wandb_mode: str = "offline"
    storage: str = ""
    plugins: tuple[str, ...] | None = None
    images: str | None = None

    def __post_init__(self) -> None:
        if self.plugins is None:
            used = tuple(plugin.place for plugin in used_by(self.config.get("model")))
            object.__setattr__(self, "plugins", used)
        if self.images is None:
            object.__setattr__(self, "images", PLACES.get(self.pixels_sha256))

    @property
    def pixels_sha256(self) -> str:
        """Hash of the images, if they are the user's own; else an empty text."""
        return str(self.config.get("data", {}).get("pixels_sha256", ""))

    def load_outside(self) -> None:
        """Load what the user has given into this process, which may be a worker: plugins and images.

        The images are read, and compared with their hash, by `load_task`.

        Raises:
            InputError: One is not there, or is not the one that the configuration names.
        """
        if self.images is not None:
            PLACES[self.pixels_sha256] = self.images
        for place in self.plugins or ():
            load_plugin(place)
        if "plugins" in self.config:
            check_loaded(self.config["plugins"])

    @property
    def key(self) -> str:
        return key_of(self.config)

    @property
    def checkpoints(self) -> str:
        """Folder or fsspec address of this run's checkpoints."""
        return self.storage or self.directory
