"""From a model's settings to a model.

The constructors are the schema: jsonargparse reads a model's options from the signatures of
`bench.models` and `bench.densities`.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.configuration.canonical import one_line, plain_dict
from bench.configuration.class_names import check_classes, class_paths, with_paths
from bench.configuration.files import names, resolve
from bench.errors import InputError
from bench.system.yaml_text import read_yaml

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from bench.models.terms import Model


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
