"""The settings of peers, configs/peers/*.yaml: a row each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.system.yaml_text import read_yaml

OUTSIDE = Path(__file__).with_name("outside")
# What stands in a file, and of which type it is.
KINDS: dict[str, type] = {
    "name": str, "task": str, "library": str, "images": str, "seeds": list, "model": dict,
    "training": dict, "evaluation": str,
}  # fmt: skip
OPTIONAL = ("images",)
TRAINING: dict[str, type] = {"epochs": int, "batch_size": int, "learning_rate": float}


@dataclass(frozen=True)
class Peer:
    """A model of another library: how it is built, trained and scored.

    Attributes:
        path: The file of its settings.
        name: The name of its row.
        task: A name under configs/data.
        library: outside/with_<library>.py builds it, and configs/peers/<library>.bib is its citation.
        images: What ``log_prob`` of a flow takes, as for `bench score`; None for a VAE.
        seeds: Seeds of its trainings.
        model: Arguments of ``build``.
        training: epochs, batch_size and learning_rate.
        evaluation: A name under configs/evaluation.
    """

    path: Path
    name: str
    task: str
    library: str
    seeds: list[int]
    model: dict[str, Any]
    training: dict[str, Any]
    evaluation: str
    images: str | None = None

    @property
    def source(self) -> Path:
        """The file that builds it."""
        return OUTSIDE / f"with_{self.library}.py"

    @property
    def citation(self) -> Path:
        return self.path.with_name(f"{self.library}.bib")

    @property
    def budget(self) -> str:
        """What a seed took, in words."""
        t = self.training
        return (
            f"{t['epochs']} epochs in batches of {t['batch_size']}, Adam, step size "
            f"{t['learning_rate']:g}, one thread"
        )


def read_peers(folder: Path) -> list[Peer]:
    """Return the peers of a folder of settings, in the order of their files.

    Raises:
        InputError: There are none, or a file is not what it has to be.
    """
    found = [read_peer(path) for path in sorted(folder.glob("*.yaml"))]
    if not found:
        raise InputError(f"peers: {folder} has no settings of a peer")
    return found


def read_peer(path: Path) -> Peer:
    """Return the peer of a file. Raises InputError if it is not what it has to be."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: is not a mapping of names to values")
    for name in content:
        if name not in KINDS:
            raise InputError(f"{path}: '{name}' is unknown; known: {', '.join(KINDS)}")
    check_types(path, "", content, {n: k for n, k in KINDS.items() if n not in OPTIONAL})
    check_types(path, "training.", content["training"], TRAINING)
    if not content["seeds"] or any(type(seed) is not int for seed in content["seeds"]):
        raise InputError(f"{path}: seeds is not a list of whole numbers")
    peer = Peer(path, **content)
    for needed in (peer.source, peer.citation):
        if not needed.is_file():
            raise InputError(f"{path}: library: {peer.library} has no {needed}")
    return peer


def check_types(path: Path, group: str, content: dict[str, Any], kinds: dict[str, type]) -> None:
    """Raise InputError unless a mapping has these names, each with a value of its type."""
    for name, kind in kinds.items():
        if type(content.get(name)) is not kind:
            raise InputError(f"{path}: {group}{name} is missing or is not a {kind.__name__}")
