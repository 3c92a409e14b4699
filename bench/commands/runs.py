"""Commands for single runs: ``bench train``, ``bench evaluate`` and ``bench release``."""

import json
import os
from pathlib import Path
from shlex import quote

from bench.commands.call import call, taken_out
from bench.commands.places import check_folder
from bench.errors import InputError
from bench.records.types import Config
from bench.settings import Progress
from bench.system.printing import say
from bench.tracking.wandb_settings import WandbMode

PLUGIN_HELP = (
    "Python file, entry point or module with parts of your own, which options may then name. May be "
    "given several times."
)


def train(arguments: list[str]) -> int:
    """Train and evaluate one run, print its numbers and write its record."""
    from bench.configuration.load_plugin import load_plugins
    from bench.configuration.parsing import make_parser, parse_run
    from bench.tracking.wandb_settings import resolve_wandb_mode

    arguments, plugins = taken_out(arguments, "plugin")
    load_plugins(plugins)
    parser = make_parser()
    parser.add_argument("--plugin", type=str, help=PLUGIN_HELP)
    parser.add_argument(
        "--output",
        type=str,
        default="results/train",
        help="Folder to write runs/KEY/record.json to.",
    )
    parser.add_argument(
        "--wandb", type=WandbMode, default="auto", help="W&B mode; auto is online when logged in."
    )
    options = parse_run(arguments, parser)
    del options["plugin"]
    check_folder("output", options["output"])
    output, wandb = Path(options.pop("output")), options.pop("wandb")
    return train_one(options, model_name(arguments), output, resolve_wandb_mode(wandb))


def model_name(arguments: list[str]) -> str:
    """Return the name after the last --model; the record keeps it beside the configuration."""
    name = "model"
    for position, word in enumerate(arguments):
        option, _, value = word.partition("=")
        if option == "--model":
            name = Path(value or arguments[position + 1]).stem
    return name


def train_one(config: Config, model: str, output: Path, wandb: str) -> int:
    """Do a run, print its numbers and write its record; return 1 if it failed, else 0.

    Args:
        config: Canonical configuration.
        model: The model's name in tables.
        output: Folder of the runs.
        wandb: offline, online or disabled.
    """
    from bench.records.record import record_path
    from bench.report.tables import print_estimates
    from bench.sweep.single import list_single_runs
    from bench.sweep.train import do_job, job_of
    from bench.system.devices import unusable_gpus
    from bench.tracking.logger import offline_log

    job = job_of(config, model, output, wandb)
    if line := unusable_gpus():
        say(line)
    record = do_job(job, output, print_progress(), say)
    is_listed = list_single_runs(output)
    if record["status"] != "ok":
        say(f"failed: {record['reason']}; details in {output / 'runs' / job.key / 'log.txt'}")
        return 1
    say(f"{record['task']}, {model}, seed {config['seed']}: {record['epochs']} epochs")
    print_estimates(record["metrics"])
    say(f"record: {record_path(output / 'runs', job.key)}")
    if wandb != "disabled" and (log := offline_log(job)):
        say(f"W&B's log is offline; to send it: wandb sync {quote(str(log))}")
    if is_listed:
        say(f"all runs of {output}: {how_to_report(output)}")
    return 0


def how_to_report(output: Path) -> str:
    """Return the command that writes tables and a page of a folder of runs."""
    where = "" if output.parent == Path("results") else f" --results {output.parent}"
    return f"bench report {output.name}{where}"


def print_progress() -> Progress:
    """Return a callback that prints a line every few seconds."""
    import time

    started = last = time.monotonic()

    def report(phase: str, share: float, text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 5:
            last = now
            say(f"{phase} {share:4.0%} after {now - started:.0f} s  {text}")

    return report


def evaluate(arguments: list[str]) -> int:
    return call(run_evaluate, "evaluate", arguments)


# Its parameters are the command's options.
def run_evaluate(
    checkpoint: str,
    importance_samples: int | None = None,
    importance_data: int | None = None,
    elbo_samples: int | None = None,
    output: str | None = None,
    refresh: str | None = None,
    plugin: list[str] = [],
    data_path: str = "",
) -> int:
    """Measure a trained model on the train and test split of its task.

    Args:
        checkpoint: A best.ckpt or last.ckpt that a run wrote.
        importance_samples: K of the importance-weighted bound; that of the run if not given.
        importance_data: Largest number of data for L_K; that of the run if not given.
        elbo_samples: Samples per datum for the ELBO and its surgery; that of the run if not given.
        output: JSON file to write the estimates to.
        refresh: Folder of a sweep, such as results/mnist: the run's record there gets the estimates,
            if those that it has agree with them; then `bench report` makes the tables.
        plugin: Python file, entry point or module with parts that the model was made of. May be given
            several times.
        data_path: Images of your own that the model was trained on, as for `bench train`.
    """
    from bench.commands.outside import take

    take(plugin, data_path)
    if output is not None and os.path.realpath(output) == os.path.realpath(checkpoint):
        raise InputError(f"output: {output} is the checkpoint, which it would replace")
    from bench.report.tables import print_estimates
    from bench.runs.run import evaluate_model
    from bench.runs.trained import load_trained
    from bench.settings import EvaluationConfig
    from bench.system.devices import devices_for

    trained = load_trained(Path(checkpoint))
    data, config = trained.data, trained.config
    changes = {
        "importance_samples": importance_samples,
        "importance_data": importance_data,
        "elbo_samples": elbo_samples,
    }
    config["evaluation"] |= {name: value for name, value in changes.items() if value is not None}
    EvaluationConfig(**config["evaluation"])
    device = devices_for(1)[0].type
    if refresh is None:
        metrics, _ = evaluate_model(trained.model, data, config, device, print_progress())
    else:
        if any(value is not None for value in changes.values()):
            raise InputError("refresh: a record's numbers are of its own configuration alone")
        from bench.sweep.refresh import refresh as refreshed

        metrics = refreshed(trained, Path(refresh), device, print_progress())["metrics"]
    say(f"{data.task.name}, {trained.name}, seed {config['seed']}, epoch {trained.epoch}")
    print_estimates(metrics)
    if output is not None:
        from bench.system.files import write_atomically

        write_atomically(Path(output), json.dumps(metrics, indent=1, sort_keys=True) + "\n")
    return 0


def release(arguments: list[str]) -> int:
    return call(run_release, "release", arguments)


def run_release(checkpoint: str, output: str) -> int:
    """Write a checkpoint for publication, without the optimizer's state, two thirds of its size.

    ``bench evaluate`` and ``bench verify --evaluate-only`` accept it as they accept the run's own.

    Args:
        checkpoint: A best.ckpt or last.ckpt that a run wrote.
        output: File to write; an existing file is not overwritten.
    """
    from bench.training.checkpoints import release as write

    write(Path(checkpoint), Path(output))
    say(f"written: {output}, {Path(output).stat().st_size / 1e6:.1f} MB")
    return 0
