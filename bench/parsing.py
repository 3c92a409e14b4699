"""From options and YAML to a run's canonical configuration, and from that to a model.

The constructors are the schema: jsonargparse reads a model's options from the signatures of
`bench.models` and `bench.densities`, and refuses a wrong name, key or type before anything runs.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config import EvaluationConfig, TrainerConfig, evaluation_config, trainer_config
from bench.errors import InputError
from bench.yaml_text import check_nesting, check_size, load_yaml, read_yaml

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

# Beside the package in a checkout, inside it in an installed wheel.
CONFIGS = next(
    path
    for path in (Path(__file__).parent / "configs", Path(__file__).parents[1] / "configs")
    if path.is_dir()
)
# The modules whose classes may be called by their bare names.
CLASS_MODULES = (
    "bench.nets",
    "bench.convolutional",
    "bench.bolts",
    "bench.densities.decoders",
    "bench.densities.discretized",
    "bench.densities.exemplar",
    "bench.densities.priors",
    "bench.models.vae",
    "bench.models.bolts_vae",
    "bench.models.realnvp",
    "bench.models.convolutional_realnvp",
    "bench.models.variational_realnvp",
    "bench.models.reference",
    "bench.models.probabilistic_pca",
    "bench.models.gaussian_mixture",
)
# Values and names in one configuration; the longest file of configs/ has 46.
MOST_OPTIONS = 1000
GROUPS = ("data", "model", "trainer", "evaluation")


@lru_cache(maxsize=1)
def run_parser() -> "ArgumentParser":
    """Return the parser of one run's options."""
    return make_parser()


def make_parser() -> "ArgumentParser":
    """Make a new parser of one run's options. Imports the models, hence PyTorch."""
    import jsonargparse

    for module in CLASS_MODULES:
        import_module(module)
    from bench.data.tasks import Task
    from bench.models.terms import Model
    from bench.nets import Shape

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
    parser.add_argument(
        "--model",
        type=Callable[[Shape, int], Model],
        enable_path=True,
        required=True,
        help=f"A model: one of {', '.join(names('model'))}, or a YAML file.",
    )
    parser.add_class_arguments(TrainerConfig, "trainer")
    parser.add_class_arguments(EvaluationConfig, "evaluation")
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="Initialisation, data order, training noise and evaluation noise derive from it.",
    )
    return parser


def names(group: str) -> list[str]:
    """Return the names that ``configs/<group>/`` defines."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def resolve(group: str, name: str) -> Path:
    """Return the YAML file for a name under ``configs/<group>/``, or for a path to one."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else CONFIGS / group / f"{name}.yaml"
    if not re.fullmatch(r"[\w.-]+", name) and not name.endswith((".yaml", ".yml")):
        raise InputError(f"{group}: '{name}' is no name; known are {', '.join(names(group))}")
    try:
        is_there = path.is_file()
    except (OSError, ValueError):  # too long, or no path at all
        is_there = False
    if not is_there:
        where = "no such file" if name.endswith((".yaml", ".yml")) else "unknown"
        raise InputError(f"{group}: '{name}' is {where}; known are {', '.join(names(group))}")
    return path


def with_paths(arguments: list[str]) -> list[str]:
    """Replace the names behind --data, --model, --trainer and --evaluation by their files.

    Everything that may name a class is checked on the way, before anything is imported.
    """
    check_nesting(arguments)
    resolved = list(arguments)
    for position, word in enumerate(resolved):
        option, equals, value = word.partition("=")
        group = option.removeprefix("--")
        following = position + 1 < len(resolved)
        if not option.startswith("--") or not (equals or following):
            continue
        value = value if equals else resolved[position + 1]
        if group in GROUPS:
            path = resolve(group, value)
            check_class_paths(read_yaml(path), str(path))
            resolved[position if equals else position + 1] = (
                f"{option}={path}" if equals else str(path)
            )
        elif group == "config":
            check_class_paths(read_yaml(Path(value)), value)
        elif group.split(".")[0] in GROUPS:
            check_class_paths(parse_yaml(value, option), option.lstrip("-"))
    return resolved


def parse_yaml(text: str, where: str) -> Any:
    try:
        return load_yaml(text)
    except ValueError as error:
        raise InputError(f"{where}: '{text[:200]}' is no valid YAML: {error}") from None


def check_class_paths(value: Any, where: str = "config") -> None:
    """Refuse names of classes outside the benchmark: importing them would run their code.

    What is longer than any configuration is refused too: jsonargparse would take hours over it.
    """
    try:
        check_size(value, MOST_OPTIONS)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    for text in texts_of(value):
        # Whatever has the form of an import path, under whichever key.
        if re.search(r"[A-Za-z_]\s*\.\s*[A-Za-z_]", text):
            if not re.fullmatch(r"bench(\.[A-Za-z_]\w*)+", text):
                raise InputError(f"{where}: '{text}' names code outside bench")


def texts_of(value: Any) -> Iterator[str]:
    """Yield the texts in nested data; names of options are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts_of(part)


def parse_run(arguments: list[str], parser: "ArgumentParser | None" = None) -> dict:
    """Return the canonical configuration (plain dict, every default written out) of one run.

    Args:
        arguments: Options of ``bench train``, names allowed where files are.
        parser: A parser with further options, which come back with the others.

    Raises:
        InputError: An unknown name, key or type, in one line.
    """
    import jsonargparse

    try:
        config = (parser or run_parser()).parse_args(with_paths(arguments))
    except (jsonargparse.ArgumentError, RecursionError, TypeError, ValueError) as error:
        raise InputError(one_line(error)) from None
    plain = plain_dict(config.as_dict())
    for group in ("data", "trainer", "evaluation"):
        if not isinstance(plain[group], dict):
            raise InputError(f"{group}: {plain[group]!r} is no mapping of options to values")
    trainer_config(plain), evaluation_config(plain)
    return plain


def validate(config: Any) -> dict:
    """Return the canonical form of a configuration read from a record or a checkpoint."""
    import jsonargparse

    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        raise InputError("config: not a mapping of options to values")
    check_class_paths(config)
    try:
        plain = plain_dict(run_parser().parse_object(config).as_dict())
        trainer_config(plain), evaluation_config(plain)
        return plain
    except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
        raise InputError(one_line(error)) from None


def build_model(config: dict, shape: tuple[int, ...], levels: int):
    """Construct the model that a canonical configuration describes, initialised by its seed."""
    import torch

    from bench.noise import derive_seed

    parser = run_parser()
    factory = parser.instantiate(parser.parse_object(config)).model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config["seed"], "initialisation"))
        return factory(shape, levels)


def plain_dict(value: Any) -> Any:
    """Return nested namespaces as plain data, without the paths that they were read from."""
    if isinstance(value, dict):
        kept = {k: plain_dict(v) for k, v in value.items() if k not in ("__path__", "config")}
        if isinstance(kept.get("class_path"), str):
            kept["class_path"] = defining_path(kept["class_path"])
        return kept
    if isinstance(value, (list, tuple)):
        return [plain_dict(part) for part in value]
    return value


@lru_cache(maxsize=1000)
def defining_path(path: str) -> str:
    """Return the import path of the module that defines a class, from whichever it was taken.

    A key must not depend on which packages export a class by a shorter path.
    """
    module, _, name = path.rpartition(".")
    found = getattr(import_module(module), name)
    return f"{found.__module__}.{found.__qualname__}"


def one_line(error: Exception) -> str:
    """Return the innermost complaint of jsonargparse's nested messages, with the key it is about."""
    if isinstance(error, InputError):
        return str(error)
    text = " ".join(str(error).split())
    keys = re.findall(r'[Kk]ey "([\w.]+)"', text)
    text = re.split(r"\.? Got value: Namespace\(", text)[0]
    text = re.split(r"expects a function or a callable class: |Parser key \"[\w.]+\": ?", text)[-1]
    path = re.search(r"- Expected a dot import path string: ([^.\s]+)", text)
    if path:
        text = f"'{path.group(1)}' is unknown"
    text = text.replace("<class '", "").replace("'>", "").strip(" :")
    return f"{nested(keys)}: {text}" if keys else text


def nested(keys: list[str]) -> str:
    """Return the path to the innermost of nested keys, of which some repeat what is around them."""
    path = ""
    for key in keys:
        is_whole = not path or f"{key}.".startswith(f"{path}.")
        path = key if is_whole else f"{path}.{key}"
    return path
