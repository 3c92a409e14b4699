"""`bench train`: one run, from its configuration to its record."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.configuration.job import Job
from bench.errors import InputError
from bench.records.key import key_of
from bench.records.record import read_record, record_path
from bench.records.types import Config, Record
from bench.settings import Progress
from bench.sweep.folder import prepare_folder, write_or_refuse
from bench.sweep.single import done_once, list_single_runs

if TYPE_CHECKING:
    from bench.data.tasks import Task


def job_of(config: Config, model: str, output: Path, wandb: str) -> Job:
    """Return the job of a single run.

    Args:
        config: Canonical configuration.
        model: The model's name in tables.
        output: Folder of the runs.
        wandb: offline, online or disabled.
    """
    directory = (output / "runs" / key_of(config)).absolute()
    return Job(config, model, output.name, str(directory), wandb)


def do_job(job: Job, output: Path, progress: Progress, tell: Callable[[str], object]) -> Record:
    """Do a single run, write its record and return it; a training that fails has one, too.

    Args:
        job: The run.
        output: Folder of the runs.
        progress: Called with its progress.
        tell: Called with lines for the user.

    Raises:
        InputError: The run cannot be done, or its record cannot be written.
    """
    from bench.runs.run import run
    from bench.sweep.driver import check_buildable

    check_buildable([job])
    prepare_folder(output, [job.key])
    path = record_path(output / "runs", job.key)
    with done_once(Path(job.directory)) as has_waited:
        # Another process may have done the run meanwhile.
        if has_waited and path.is_file():
            return read_record(path)
        record = run(job, progress)
        for line in record.pop("notes"):
            tell(f"note: {line}")
        write_or_refuse(output, record)
    return record


# Its parameters are the parts of a configuration, and where the record goes.
def train(
    model: str | dict[str, Any],
    data: "str | Mapping[str, Any] | Task",
    trainer: Mapping[str, Any] = {},
    evaluation: Mapping[str, Any] = {},
    seed: int = 1,
    name: str | None = None,
    output: Path | str = "results/train",
) -> Record:
    """Train and evaluate one run and write its record, as the command ``bench train`` does.

    The same options give the same key and, on the same machine, the same numbers.

    Args:
        model: The name of a file of configs/model/, a path to one, or what such a file holds.
        data: The name of a file of configs/data/, a path to one, a ``Task``, or options as
            ``--data.…`` takes them: {"path": "images", "name": "my-images"} for images of your own.
        trainer: Options as ``--trainer.…`` takes them; the others have their defaults.
        evaluation: Options as ``--evaluation.…`` takes them.
        seed: Initialisation, data order, training noise and evaluation noise derive from it.
        name: The model's name in tables; that of its file if not given.
        output: Folder to write runs/KEY/record.json to, for which `bench report` makes tables.

    Returns:
        The record: its ``status``, and ``metrics`` on the splits train and test. A training that
        diverged has the status failed, and a reason.

    Raises:
        InputError: An unknown name, key or type, images that cannot be read, a model that cannot be
            built, or a record that cannot be written.

    Examples:
        >>> train("bernouli_vae", "digits-binary")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        bench.errors.InputError: model: 'bernouli_vae' is unknown; known: ...
    """
    from bench.configuration.models import model_settings
    from bench.configuration.parsing import validate
    from bench.system.determinism import deterministically
    from bench.system.printing import say

    for group, options in (("trainer", trainer), ("evaluation", evaluation)):
        if not isinstance(options, Mapping):
            raise InputError(f"{group}: {options!r:.100} is not a mapping of options to values")
    config = validate(
        {
            "data": data_of(data),
            "model": model_settings(model),
            "trainer": dict(trainer),
            "evaluation": dict(evaluation),
            "seed": seed,
        }
    )
    folder = Path(output)
    own_name = name or (Path(model).stem if isinstance(model, str) else "model")
    with deterministically(), same_threads():
        record = do_job(job_of(config, own_name, folder, "disabled"), folder, silent, say)
    list_single_runs(folder)
    return record


@contextmanager
def same_threads() -> Iterator[None]:
    """Leave the process, which is somebody else's, as many threads as it had."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def silent(phase: str, share: float, text: str) -> None:
    """Take no notice of progress."""


def data_of(data: "str | Mapping[str, Any] | Task") -> dict[str, Any]:
    """Return the section ``data`` of a configuration."""
    from bench.configuration.data_options import options_of_task, section_of
    from bench.configuration.files import named_task
    from bench.data.tasks import Task

    if isinstance(data, Mapping):
        return section_of(dict(data), "data")
    if not isinstance(data, (str, Task)):
        raise InputError(
            f"data: a {type(data).__name__}; a name, a Task, or a mapping of options is needed"
        )
    return options_of_task(named_task(data) if isinstance(data, str) else data)
