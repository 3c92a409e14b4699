"""Parsing of options and YAML to a run's canonical configuration, and of that to a model.

The constructors are the schema: jsonargparse takes a model's options from the signatures of
`bench.models` and `bench.densities`, and refuses a wrong name, key or type before anything runs.
"""

import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.configuration.canonical import one_line, plain_dict
from bench.configuration.class_names import check_class, check_classes, with_paths
from bench.configuration.files import names, resolve, with_path_beside
from bench.configuration.models import add_model
from bench.configuration.plugins import check_loaded, with_plugins
from bench.errors import InputError
from bench.records.schema import problem_of_config
from bench.records.types import Config
from bench.settings import EvaluationConfig, TrainerConfig, evaluation_config, trainer_config
from bench.system.yaml_text import check_nesting, in_one_line, load_yaml, read_yaml

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


GROUPS = ("data", "model", "trainer", "evaluation")
# Options whose text is taken as it is, and not as YAML.
TEXTS = ("data.path", "data.name")
# A seed whose text has one reading, for YAML too.
PLAIN_SEED = re.compile("0|[1-9][0-9]{0,8}")


@lru_cache(maxsize=1)
def run_parser() -> "ArgumentParser":
    """Return the parser of one run's options."""
    return make_parser()


def make_parser() -> "ArgumentParser":
    """Make a new parser of one run's options. Imports the models, hence PyTorch."""
    import jsonargparse

    from bench.configuration.data_options import DataOptions

    known = [f"--{group} ({', '.join(names(group))})" for group in GROUPS]
    parser = jsonargparse.ArgumentParser(
        prog="bench train",
        exit_on_error=False,
        allow_abbrev=False,
        description="Train, evaluate and record one run. These take a YAML file or a name: "
        + ", ".join(known),
    )
    parser.add_argument("--config", action="config", help="A YAML file with any of the options.")
    parser.add_class_arguments(DataOptions, "data")
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
            content = read_yaml(path)
            content = with_path_beside(content, path) if group == "data" else content
            words += words_of_option(group, content, str(path))
        elif name in TEXTS:
            words += words_of_option(name, value, name)
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
        if name == "plugins":  # as a record has it; it gives none, but says which are needed
            check_loaded(value)
            continue
        # A --config file can neither read another file nor show help.
        if name.split(".")[0] not in (*GROUPS, "seed", "output", "wandb"):
            raise InputError(f"config: {where}: '{name}' is not an option of a configuration file")
        value = with_path_beside(value, Path(where)) if name == "data" else value
        yield from words_of_option(name, value, where)


def words_of_option(name: str, value: Any, where: str) -> Iterator[str]:
    """Yield an option of the command line with its checked value; a group yields several."""
    if not re.fullmatch(r"\w+|\w+(\.\w+)+\+?", name, re.ASCII):
        raise InputError(f"{where}: {name[:200]!r} is not an option")
    if "help" in name.split("."):
        value = check_class(value, name)
    if name in TEXTS and not isinstance(value, str):
        raise InputError(f"{where}: {name}: {value!r:.100} is not a text; quote it")
    if name in ("output", "wandb", *TEXTS):
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
    return completed(plain_dict(config.as_dict()))


class SeedParser:
    """Parses the runs of one matrix; those that differ in the seed alone are parsed once.

    Parsing takes a tenth of a second, because it looks into every class that a run names.
    """

    def __init__(self) -> None:
        self.known: dict[tuple[str, ...], Config] = {}

    def parse(self, arguments: Sequence[str]) -> Config:
        """Return the canonical configuration of a run, as ``parse_run`` does."""
        words = tuple(arguments)
        if words.count("--seed") != 1:
            return parse_run(list(words))
        place = words.index("--seed")
        others, seed = (*words[:place], *words[place + 2 :]), "".join(words[place + 1 : place + 2])
        if not PLAIN_SEED.fullmatch(seed):
            return parse_run(list(words))
        if others not in self.known:
            self.known[others] = parse_run(list(words))
        return checked(deepcopy(self.known[others]) | {"seed": int(seed)})


def completed(options: Config) -> Config:
    """Return the canonical configuration of parsed options: with plugins, its images by their hash."""
    from bench.configuration.data_options import canonical_data

    return checked(with_plugins(options | {"data": canonical_data(options["data"])}))


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
        PluginMissing: It needs a plugin that the user has not given.
        InputError: It is not a configuration of a run.
    """
    import jsonargparse

    if isinstance(config, dict) and "plugins" in config:
        check_loaded(config["plugins"])
        config = {name: part for name, part in config.items() if name != "plugins"}
    check_classes(config)
    # jsonargparse would open a text in place of a mapping as a file.
    if not isinstance(config, dict) or not all(isinstance(config.get(g), dict) for g in GROUPS):
        raise InputError("config: not a mapping of options to values")
    for name in config:
        if name not in (*GROUPS, "seed"):
            raise InputError(f"config: {name[:200]!r} is not a part of a configuration")
    try:
        parsed = run_parser().parse_object(with_paths(config))
        return completed(plain_dict(parsed.as_dict()))
    except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
        raise InputError(one_line(error)) from None
