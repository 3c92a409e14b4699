"""`bench score`: the contract's numbers for a model of one's own, checked before they are believed."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from bench.adapters.adapted import Wanted
from bench.adapters.choose import adapt
from bench.adapters.pythae import FILES, is_saved, load_saved
from bench.data.files import sha256
from bench.data.tasks import TaskData
from bench.errors import InputError
from bench.library.evaluate import evaluate
from bench.records.key import key_of
from bench.records.record import read_record
from bench.records.types import Config, EstimateRecord, Metrics, Record
from bench.scoring.checks import check_model, check_source
from bench.scoring.finding import Finding
from bench.scoring.record import config_of, scored_record
from bench.scoring.source import Source, load_source, users_code
from bench.scoring.weights import (
    load_lightning,
    load_weights,
    modules_of,
    number_of_parameters,
    read_content,
    weights_hash,
    with_arguments,
)
from bench.settings import EvaluationConfig, Progress

# Share of the checks in what `progress` shows.
CHECKS = 0.1


@dataclass(frozen=True)
class Given:
    """What is scored.

    Attributes:
        label: How messages and the record name it.
        name: The model's name in tables.
        made: What the user's function returned, with its weights.
        source: The user's file; None for a saved folder.
        sources: {file: SHA-256} of the code.
        checkpoint: SHA-256 of the checkpoint's file; None without one.
    """

    label: str
    name: str
    made: Any
    source: Source | None
    sources: dict[str, str]
    checkpoint: str | None

    @property
    def folder(self) -> Path:
        """The folder of the user's code."""
        return self.source.folder if self.source else Path(self.label)


def read_given(text: str, checkpoint: str | None, wanted: Wanted) -> Given:
    """Return the model that FILE.py:NAME makes, with the weights of a checkpoint, or a saved folder's.

    Raises:
        InputError: It cannot be read, made or loaded.
    """
    folder = Path(text)
    if is_saved(folder):
        if checkpoint is not None:
            raise InputError(f"checkpoint: {text} has its own weights; leave the option out")
        files = {name: folder / name for name in FILES if (folder / name).is_file()}
        code = {name: sha256(path.read_bytes()) for name, path in files.items() if name != FILES[0]}
        weights = sha256(files[FILES[0]].read_bytes()) if FILES[0] in files else None
        return Given(text, folder.absolute().name, load_saved(folder), None, code, weights)
    source = load_source(text)
    digest = None
    if checkpoint is None:
        made = source.build(wanted.shape, wanted.levels)
    else:
        path = Path(checkpoint)
        content, digest = read_content(path)
        is_module = source.is_called and hasattr(source.make, "load_from_checkpoint")
        source = with_arguments(source, content)
        if is_module and "pytorch-lightning_version" in content:
            made = load_lightning(source, path, wanted.shape, wanted.levels)
        else:
            made = source.build(wanted.shape, wanted.levels)
            load_weights(source, made, content, path)
    sources = {source.file: source.sha256} | source.imported()
    name = source.name if isinstance(source.make, type) else Path(source.file).stem
    return Given(source.label, name, made, source, sources, digest)


# Its parameters are those of the command.
def score(
    given: Given,
    wanted: Wanted,
    data: TaskData,
    evaluation: EvaluationConfig,
    seed: int,
    directory: Path,
    device: torch.device,
    progress: Progress = lambda phase, share, text: None,
) -> Record:
    """Check a model, measure it, and return its record.

    Args:
        given: The model.
        wanted: The images, and what the user says about the model.
        data: The same images.
        evaluation: How it is measured.
        seed: That of its training, if there are several; noise is a function of it.
        directory: Folder of the records; nothing is written.
        device: Where to compute.
        progress: Called with phase, share of the whole, and text.

    Raises:
        InputError: The model does what no correct one does, or a number is not finite.
    """
    started = time.perf_counter()
    progress("check", 0.0, "a model of two pixels")
    with users_code(given.label, given.folder):
        adapted = adapt(given.made, wanted)
    weights = weights_hash(given.made)
    config = config_of(adapted, given.sources, weights, data, evaluation, seed)
    check_no_other_weights(directory, given.name, data.task.name, config)
    for module in [adapted.model, *modules_of(given.made)]:
        if isinstance(module, torch.nn.Module):
            module.to(device).eval()
    findings: list[Finding] = []
    with users_code(given.label, given.folder):
        if given.source is not None:
            findings += check_source(given.source, given.made, wanted, seed)
        part = lambda share, text: progress("check", CHECKS * share, text)
        findings += check_model(adapted, data, seed, device, part)
        checked = time.perf_counter()
        done = lambda share: progress("evaluate", CHECKS + (1 - CHECKS) * share, "")
        numbers = evaluate(adapted.model, data, evaluation, seed, device, done)
    metrics: Metrics = {
        split: {name: cast(EstimateRecord, e._asdict()) for name, e in columns.items()}
        for split, columns in numbers.items()
    }
    ended = time.perf_counter()
    more = {
        "source": given.label,
        "checkpoint_sha256": given.checkpoint,
        "findings": findings,
        "parameters": number_of_parameters(given.made),
        "device": device.type,
        "timing": {
            "check_seconds": checked - started,
            "evaluate_seconds": ended - checked,
            "total_seconds": ended - started,
        },
    }
    return scored_record(given.name, adapted, config, data, metrics, more)


def check_no_other_weights(directory: Path, name: str, task: str, config: Config) -> None:
    """Raise InputError if a folder has a model of this name and seed that differs in its weights alone.

    The two would be one row of a leaderboard, like trainings with two seeds.
    """
    key, own = key_of(config), {"weights_sha256": config["weights_sha256"]}
    for path in sorted(directory.glob("runs/*/record.json")):
        record = read_record(path)
        if (record["model"], record["task"]) != (name, task) or record["key"] == key:
            continue
        if key_of(record["config"] | own) == key:
            raise InputError(
                f"seed: {directory} has seed {config['seed']} of {name} on {task} with other weights; "
                "give another training of this model its own --seed, or another model its own --name"
            )
