"""The help of a command: what its function's signature and docstring say, as users type it."""

import argparse
import shutil
from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any, Literal, get_args, get_origin

import docstring_parser

# Options that are spelt as those of `bench train`.
SPELT = {"data_path": "data.path"}


def help_text(function: Callable[..., int], name: str) -> str:
    """Return a command's help: its usage, its words, its options with their defaults.

    Args:
        function: Its first parameter is the word, or the words, after the command's name; the others
            are options. All are explained in its docstring.
        name: The command's name, such as "leaderboard add".
    """
    docstring = docstring_parser.parse(
        function.__doc__ or "", docstring_parser.DocstringStyle.GOOGLE
    )
    explained = {
        one.arg_name: " ".join((one.description or "").split()) for one in docstring.params
    }
    parser = argparse.ArgumentParser(
        prog=f"bench {name}", description=docstring.short_description, formatter_class=Wide
    )
    parameters = list(signature(function).parameters.values())
    # Every command takes --results; only what the others are about is given as a word.
    first = None if parameters[0].name == "results" else parameters[0]
    parser.usage = f"%(prog)s {word_of(first)} [options]" if first else "%(prog)s [options]"
    if first:
        text = in_help(explained[first.name], default_of(first))
        parser.add_argument(word_of(first).strip("[]"), help=text)
    for parameter in parameters[1:] if first else parameters:
        add_option(parser, parameter, explained[parameter.name])
    return parser.format_help()


class Wide(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        width = min(100, shutil.get_terminal_size().columns - 2)
        super().__init__(prog, max_help_position=32, width=width)


def word_of(parameter: Parameter) -> str:
    """Return how usage shows a command's word: CHECKPOINT, [SWEEP] or RECORDS..."""
    word = parameter.name.upper()
    if get_origin(parameter.annotation) is list:
        word += "..."
    return word if parameter.default is Parameter.empty else f"[{word}]"


def add_option(parser: argparse.ArgumentParser, parameter: Parameter, text: str) -> None:
    """Add an option to the help: with dashes, its choices, and its default if that says something."""
    spelt = SPELT.get(parameter.name, parameter.name.replace("_", "-"))
    needed = parameter.default is Parameter.empty
    if parameter.annotation is bool:
        parser.add_argument(f"--{spelt}", action="store_true", help=in_help(text, None))
        return
    choices = choices_of(parameter.annotation)
    metavar = "{" + ",".join(choices) + "}" if choices else spelt.rpartition(".")[2].upper()
    parser.add_argument(
        f"--{spelt}",
        metavar=metavar,
        required=needed,
        help=in_help(text, "needed" if needed else default_of(parameter)),
    )


def choices_of(annotation: Any) -> list[str]:
    """Return what an option accepts, if that is a few words."""
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    return []


def default_of(parameter: Parameter) -> str | None:
    """Return a default for the help; None where there is none, or "nothing" is its meaning."""
    if parameter.default in (Parameter.empty, None, "") or parameter.default == []:
        return None
    if isinstance(parameter.default, list):
        return f"default: {' '.join(map(str, parameter.default))}"
    return f"default: {parameter.default}"


def in_help(text: str, note: str | None) -> str:
    """Return an explanation with its note, escaped for argparse, which formats with %."""
    return (f"{text} ({note})" if note else text).replace("%", "%%")
