"""The command for models of one's own: ``bench score``."""

from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.call import call
from bench.errors import InputError
from bench.system.printing import say

if TYPE_CHECKING:
    import torch

    from bench.records.types import Record
    from bench.settings import EvaluationConfig


def score(arguments: list[str]) -> int:
    return call(run_score, "score", arguments)


# Its parameters are the command's options.
def run_score(
    model: str,
    data: str,
    checkpoint: str | None = None,
    images: str | None = None,
    likelihood: str | None = None,
    evaluation: str | None = None,
    seed: int = 1,
    device: str | None = None,
    name: str | None = None,
    out: str = "results/score",
) -> int:
    """Check a model of your own, measure it, and write its record.

    Args:
        model: FILE.py:NAME of a function or class that makes the model; parameters of it that are
            called shape and levels get the task's, every other one needs a default. Or a folder in
            which pythae saved a model.
        data: A task: a name under configs/data, or a YAML file.
        checkpoint: Weights to load: a state_dict, or a checkpoint of Lightning.
        images: What log_prob takes, if the model has no attribute that says it: discrete,
            dequantized, dequantized:LOW:HIGH or logit:ALPHA.
        likelihood: What decode's outputs are for, if the model has no attribute that says it:
            Bernoulli, Categorical, DiscretizedLogistic, Gaussian:optimal, …
        evaluation: A name under configs/evaluation, or a YAML file; K = 100 if not given.
        seed: Noise is a function of it. Trainings of one model that have different seeds form one
            row of the leaderboard.
        device: cpu or cuda; the first GPU if there is one.
        name: The model's name in tables; that of the class or of the file if not given.
        out: Folder to write runs/KEY/record.json to.
    """
    from dataclasses import replace

    from bench.adapters.adapted import Wanted
    from bench.commands.time_left import telling_time_left
    from bench.configuration.files import named_task
    from bench.data.tasks import load_task
    from bench.records.record import record_path
    from bench.scoring.score import read_given
    from bench.scoring.score import score as score_given
    from bench.sweep.folder import prepare_folder, write_or_refuse
    from bench.sweep.single import list_single_runs

    directory = Path(out)
    prepare_folder(directory)
    settings, where = evaluation_of(evaluation), device_of(device)
    loaded = load_task(named_task(data))
    wanted = Wanted(loaded.shape, loaded.task.levels, images, likelihood)
    given = read_given(model, checkpoint, wanted)
    given = replace(given, name=name or given.name)
    with telling_time_left() as progress:
        record = score_given(given, wanted, loaded, settings, seed, directory, where, progress)
    write_or_refuse(directory, record)
    is_listed = list_single_runs(directory)
    show(record)
    say(f"record: {record_path(directory / 'runs', record['key'])}")
    if is_listed:
        from bench.commands.runs import how_to_report

        say(f"as rows of a leaderboard: {how_to_report(directory)}")
    return 0


def evaluation_of(name: str | None) -> "EvaluationConfig":
    """Return the settings of a name under configs/evaluation. Raises InputError if there are none."""
    from bench.configuration.files import resolve
    from bench.settings import EvaluationConfig
    from bench.system.yaml_text import read_yaml

    if name is None:
        return EvaluationConfig()
    content = read_yaml(resolve("evaluation", name))
    try:
        return EvaluationConfig(**content)
    except TypeError as error:
        raise InputError(f"evaluation: '{name}' describes no evaluation: {error}") from None


def device_of(name: str | None) -> "torch.device":
    """Return the device to compute on. Raises InputError if nothing can be computed on it."""
    import torch

    from bench.library.evaluate import check_device
    from bench.system.devices import devices_for

    if name is None:
        return devices_for(1)[0]
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device: '{name}' is neither cpu nor cuda") from None
    check_device(name)
    return device


def show(record: "Record") -> None:
    """Print what was counted, what was checked, and the numbers."""
    from bench.report.tables import print_estimates

    scored = record["scored"]
    words = {"passed": "checked", "warning": "warning", "not done": "not checked"}
    say(f"{record['task']}, {record['model']} ({scored['adapter']}), seed {record['seed']}")
    for line in scored["counted"]:
        say(f"counted: {line}")
    for finding in scored["checks"]:
        say(f"{words[finding['outcome']]}: {finding['check']}: {finding['says']}")
    print_estimates(record["metrics"])
