"""Parsing of options and YAML to a run's canonical configuration, and of that to a model.

The constructors are the schema: jsonargparse takes a model's options from the signatures of
`bench.models` and `bench.densities`, and refuses a wrong name, key or type before anything runs.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.configuration.class_names import check_class, check_classes, class_paths, with_paths
from bench.errors import InputError
from bench.records.key import bare_name
from bench.records.schema import problem_of_config
from bench.records.types import Config
from bench.settings import EvaluationConfig, TrainerConfig, evaluation_config, trainer_config
from bench.system.yaml_text import check_nesting, in_one_line, load_yaml, read_yaml

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from bench.data.tasks import Task
    from bench.models.terms import Model

# Beside the package in a checkout, inside it in an installed wheel.
CONFIGS = next(
    path
    for path in (Path(__file__).parents[1] / "configs", Path(__file__).parents[2] / "configs")
    if path.is_dir()
)
GROUPS = ("data", "model", "trainer", "evaluation")


@lru_cache(maxsize=1)
def run_parser() -> "ArgumentParser":
    """Return the parser of one run's options."""
    return make_parser()


def make_parser() -> "ArgumentParser":
    """Make a new parser of one run's options. Imports the models, hence PyTorch."""
    import jsonargparse

    from bench.data.tasks import Task

    known = [f"--{group} ({', '.join(names(group))})" for group in GROUPS]
    parser = jsonargparse.ArgumentParser(
        prog="bench train",
        exit_on_error=False,
        allow_abbrev=False,
        description="Train, evaluate and record one run. These take a YAML file or a name: "
        + ", ".join(known),
    )
    parser.add_argument("--config", action="config", help="A YAML file with any of the options.")
    parser.add_class_arguments(Task, "data")
    add_model(parser)
    parser.add_class_arguments(TrainerConfig, "trainer")
    parser.add_class_arguments(EvaluationConfig, "evaluation")
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="Initialisation, data order, training noise and evaluation noise derive from it.",
    )
    return parser


def add_model(parser: "ArgumentParser") -> None:
    """Add the option --model to a parser. Imports the models, hence PyTorch."""
    for path in class_paths().values():
        import_module(path.rpartition(".")[0])
    from bench.models.terms import Model
    from bench.networks.mlp import Shape

    parser.add_argument(
        "--model",
        type=Callable[[Shape, int], Model],
        required=True,
        help=f"A model: one of {', '.join(names('model'))}, or a YAML file.",
    )


def names(group: str) -> list[str]:
    """Return the names that ``configs/<group>/`` defines."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def resolve(group: str, name: str) -> Path:
    """Return the YAML file of a name under ``configs/<group>/``, or of a path to one.

    Raises:
        InputError: There is no such name or file.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else CONFIGS / group / f"{name}.yaml"
    # Its stem becomes a name in tables.
    is_path = name.endswith((".yaml", ".yml")) and path.stem.isprintable()
    if not re.fullmatch(r"[\w.-]+", name) and not is_path:
        raise InputError(f"{group}: '{name}' is not a name; known: {', '.join(names(group))}")
    try:
        is_there = path.is_file()
    except (OSError, ValueError):  # too long, or not a path
        is_there = False
    if not is_there:
        is_file_name = name.endswith((".yaml", ".yml"))
        problem = f"no such file '{name}'" if is_file_name else f"'{name}' is unknown"
        raise InputError(f"{group}: {problem}; known: {', '.join(names(group))}")
    return path


def named_task(name: str) -> "Task":
    """Return the task of a file under ``configs/data/``, or of a path to one.

    Raises:
        InputError: There is no such file, or it describes no task.
    """
    from bench.data.tasks import Task

    content = read_yaml(resolve("data", name))
    try:
        return Task(**content)
    except TypeError as error:
        raise InputError(f"data: '{name}' describes no task: {error}") from None


def plain_words(arguments: list[str]) -> list[str]:
    """Return options of ``bench train`` with checked, plain values.

    The content of files replaces their names: jsonargparse opens no file and parses only what was
    checked. This function imports nothing.

    Raises:
        InputError: A file that cannot be read, or a value that names code other than our classes.
    """
    check_nesting(arguments)
    words, position = [], 0
    while position < len(arguments):
        option, equals, value = arguments[position].partition("=")
        position += 1
        following = arguments[position : position + 1]
        if option.startswith("--") and not equals and following and following[0][:2] != "--":
            equals, value = "=", following[0]
            position += 1
        name = option.removeprefix("--")
        group = name.split(".")[0]
        if not option.startswith("--") or not equals:
            words.append(f"{option}{equals}{value}")
        elif option == "--config":
            words += words_of_config(read_yaml(Path(value)), value)
        elif name in GROUPS:
            path = resolve(group, value)
            words += words_of_option(group, read_yaml(path), str(path))
        elif group in (*GROUPS, "seed"):
            words += words_of_option(name, parse_yaml(value, name), name)
        elif not re.fullmatch(r"\w+", name, re.ASCII):
            # jsonargparse accepts other spellings of the options above, such as --model+.
            raise InputError(f"{option[:200]!r} is not an option")
        else:
            words.append(f"{option}={value}")
    return words


def words_of_config(content: Any, where: str) -> Iterator[str]:
    """Yield the options in the content of a --config file."""
    if not isinstance(content, dict):
        raise InputError(f"config: {where} is not a mapping of options to values")
    for name, value in content.items():
        # A --config file can neither read another file nor show help.
        if name.split(".")[0] not in (*GROUPS, "seed", "output", "wandb"):
            raise InputError(f"config: {where}: '{name}' is not an option of a configuration file")
        yield from words_of_option(name, value, where)


def words_of_option(name: str, value: Any, where: str) -> Iterator[str]:
    """Yield an option of the command line with its checked value; a group yields several."""
    if not re.fullmatch(r"\w+|\w+(\.\w+)+\+?", name, re.ASCII):
        raise InputError(f"{where}: {name[:200]!r} is not an option")
    if "help" in name.split("."):
        value = check_class(value, name)
    if name in ("output", "wandb"):
        yield f"--{name}={value}"
    elif name in ("data", "trainer", "evaluation"):
        if not isinstance(value, dict):
            raise InputError(f"{name}: {value!r:.200} is not a mapping of options to values")
        for option, part in value.items():
            yield from words_of_option(f"{name}.{option}", part, where)
    else:
        check_classes(value, where)
        yield f"--{name}={in_one_line(with_paths(value))}"


def parse_yaml(text: str, where: str) -> Any:
    try:
        return load_yaml(text)
    except ValueError as error:
        raise InputError(f"{where}: '{text[:200]}' is not valid YAML: {error}") from None


def parse_run(arguments: list[str], parser: "ArgumentParser | None" = None) -> Config:
    """Return the canonical configuration of one run: plain data with every default written out.

    Args:
        arguments: Options of ``bench train``; names are allowed instead of files.
        parser: A parser with further options, which are returned with the others.

    Raises:
        InputError: An unknown name, key or type, in one line.
    """
    import jsonargparse

    try:
        config = (parser or run_parser()).parse_args(plain_words(arguments))
    except (jsonargparse.ArgumentError, RecursionError, TypeError, ValueError) as error:
        raise InputError(one_line(error)) from None
    return checked(plain_dict(config.as_dict()))


def checked(config: Config) -> Config:
    """Return a canonical configuration. Raises InputError if no record could hold a run of it."""
    check_classes({name: config[name] for name in (*GROUPS, "seed")})
    trainer_config(config)
    evaluation_config(config)
    if problem := problem_of_config(config):
        raise InputError(problem)
    return config


def validate(config: Any) -> Config:
    """Return the canonical form of a configuration read from a record or a checkpoint.

    Raises:
        InputError: It is not a configuration of a run.
    """
    import jsonargparse

    check_classes(config)
    # jsonargparse would open a text in place of a mapping as a file.
    if not isinstance(config, dict) or not all(isinstance(config.get(g), dict) for g in GROUPS):
        raise InputError("config: not a mapping of options to values")
    for name in config:
        if name not in (*GROUPS, "seed"):
            raise InputError(f"config: {name[:200]!r} is not a part of a configuration")
    try:
        return checked(plain_dict(run_parser().parse_object(with_paths(config)).as_dict()))
    except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
        raise InputError(one_line(error)) from None


@lru_cache(maxsize=1)
def model_parser() -> "ArgumentParser":
    """Return the parser of a model's settings alone."""
    import jsonargparse

    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    add_model(parser)
    return parser


def model_settings(model: str | dict[str, Any]) -> dict[str, Any]:
    """Return the canonical settings of a model, every class named and every default written out.

    Args:
        model: The name of a file of configs/model/, a path to one, or what such a file holds.

    Raises:
        InputError: No such model, or settings that it does not have.
    """
    import jsonargparse

    content = read_yaml(resolve("model", model)) if isinstance(model, str) else model
    check_classes(content, "model")
    try:
        parsed = model_parser().parse_object({"model": with_paths(content)})
    except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
        raise InputError(one_line(error)) from None
    settings: dict[str, Any] = plain_dict(parsed.as_dict())["model"]
    return settings


def make_model(settings: dict[str, Any], shape: tuple[int, ...], levels: int, seed: int) -> "Model":
    """Construct the model of canonical settings, initialised by a run's seed."""
    import torch

    from bench.noise import derive_seed

    parser = model_parser()
    parsed = parser.parse_object({"model": with_paths(settings)})
    factory = parser.instantiate(parsed).model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "initialisation"))
        model: Model = factory(shape, levels)
    return model


def build_model(config: dict[str, Any], shape: tuple[int, ...], levels: int) -> "Model":
    """Construct the model that a canonical configuration describes, initialised by its seed."""
    return make_model(config["model"], shape, levels, config["seed"])


def plain_dict(value: Any) -> Any:
    """Return nested namespaces as plain data, without the paths of their files."""
    if isinstance(value, dict):
        kept = {k: plain_dict(v) for k, v in value.items() if k not in ("__path__", "config")}
        if isinstance(kept.get("class_path"), str):
            kept["class_path"] = bare_name(kept["class_path"])
        return kept
    if isinstance(value, (list, tuple)):
        return [plain_dict(part) for part in value]
    return value


def one_line(error: Exception) -> str:
    """Return the innermost of jsonargparse's nested messages, after the key that it concerns."""
    if isinstance(error, InputError):
        return str(error)
    text = " ".join(str(error).split())
    keys = re.findall(r'[Kk]ey "([\w.]+)"', text)
    text = re.split(r"\.? Got value: Namespace\(", text)[0]
    text = re.split(r"expects a function or a callable class: |Parser key \"[\w.]+\": ?", text)[-1]
    path = re.search(r"Expected a dot import path string: ([^.\s]+)", text)
    if path:
        text = f"'{path.group(1)}' is unknown"
    text = text.replace("<class '", "").replace("'>", "").strip(" :")
    return f"{nested(keys)}: {text}" if keys else text


def nested(keys: list[str]) -> str:
    """Return the path to the innermost of nested keys, some of which repeat the outer keys."""
    path = ""
    for key in keys:
        is_whole = not path or f"{key}.".startswith(f"{path}.")
        path = key if is_whole else f"{path}.{key}"
    return path
